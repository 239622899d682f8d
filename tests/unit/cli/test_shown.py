from __future__ import annotations

import io

from rich.console import Console

from modelpool_cli.shown import print_models

MODEL = {
    "id": "a-model-with-a-rather-long-name",
    "pool": "default/studio",
    "tasks": ["TextToImage", "ImageToImage"],
    "state": "loading",
    "replicas": 2,
    "queued": 12,
    "eta": {"text": "model loading, about 18 s"},
}


def shown(*models: dict[str, object], width: int = 80) -> str:
    out = io.StringIO()
    print_models(models, Console(file=out, width=width))
    return out.getvalue()


def test_nothing_is_cut_off_on_a_narrow_terminal() -> None:
    text = shown(MODEL, {**MODEL, "pool": "default/second"})
    assert "…" not in text
    assert text.count("a-model-with-a-rather-long-name") == 2
    assert "ImageToImage" in text


def test_the_pool_is_named_where_there_are_several() -> None:
    assert "studio" not in shown(MODEL)
    assert "studio" in shown(MODEL, {**MODEL, "pool": "default/second"}, width=120)

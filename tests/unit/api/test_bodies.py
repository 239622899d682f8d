"""Whatever is sent as a body becomes a job or a refusal, and never anything else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelpool.documents import CatalogModel
from modelpool.errors import InvalidInput
from modelpool_api.bodies import parse_json
from modelpool_api.requests import resolve
from modelpool_api.schemas import JobBody

MODEL = CatalogModel.model_validate(
    {
        "name": "m",
        "tier": "t",
        "policy": "Always",
        "tasks": ["TextToImage", "ImageToImage"],
        "source": {"uri": "file:///m"},
        "revision": "r",
        "weightsBytes": 1,
        "activationsBytes": 1,
        "defaults": {"width": 512, "height": 512, "steps": 4},
        "limits": {"maxPixels": 1_000_000, "maxSteps": 50, "sizeMultiple": 8},
        "batch": {},
        "secondsPerMegapixelStep": 0.1,
        "styles": [{"name": "s", "prompt": "{prompt}!"}],
    }
)
FIELDS = [*(field.alias for field in JobBody.model_fields.values()), "other"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["random", "png", "s"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
LIKELY: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"model": st.just("m"), "prompt": st.text(min_size=1)},
    optional={
        "width": st.integers(0, 3000),
        "height": st.integers(0, 3000).map(lambda value: value // 8 * 8),
        "steps": st.integers(-1, 60),
        "guidance": st.floats(-1, 101),
        "seed": st.integers() | st.just("random"),
        "strength": st.floats(-0.1, 1.1),
        "style": st.sampled_from(["s", "t"]),
        "format": st.sampled_from(["png", "webp", "jpeg", "mp4"]),
    },
)


def refused(refusal: InvalidInput) -> None:
    assert 400 <= refusal.status < 500
    assert refusal.message


@settings(max_examples=50)
@given(st.binary() | st.dictionaries(st.sampled_from(FIELDS), JSON).map(lambda body: json.dumps(body).encode()))
def test_any_bytes_are_a_body_or_a_refusal(raw: bytes) -> None:
    try:
        parse_json(raw)
    except InvalidInput as refusal:
        refused(refusal)


@given(LIKELY, st.booleans())
def test_what_passes_is_within_the_models_limits(fields: dict[str, Any], has_image: bool) -> None:
    try:
        request = resolve(parse_json(json.dumps(fields).encode()), MODEL, seed=1, has_image=has_image)
    except InvalidInput as refusal:
        refused(refusal)
        return
    assert request.width * request.height <= MODEL.limits.max_pixels
    assert request.width % 8 == request.height % 8 == 0
    assert 1 <= request.steps <= MODEL.limits.max_steps
    assert request.task.wants_image is has_image
    assert len(request.digest("v")) == 64

"""What schemathesis cannot guess: models that are offered, sizes that they take, files that exist.

Loaded by schemathesis itself (SCHEMATHESIS_HOOKS). Most bodies are made to work, or nothing would come after them; one in
four stays as it was drawn.
"""

from __future__ import annotations

import os
from typing import Any

import schemathesis

MODELS = ("shapes", "clips", "default/studio/shapes", "studio/shapes")
DEPENDS_ON_THE_MODEL = ("width", "height", "steps", "frames", "fps", "motion", "strength", "task", "style", "format")


def _chance(value: object) -> int:
    """0 to 3, always the same for the same drawn value."""
    return sum(repr(value).encode()) % 4


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Mend what was meant to be right; what was meant to be wrong stays so."""
    if case.meta is None or case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    if case.operation.label == "POST /v1/jobs" and isinstance(case.body, dict) and _chance(case.body):
        case.body = _offered(case.body)
    name = os.environ.get("MODELPOOL_FUZZ_RESULT")
    if case.operation.label == "GET /v1/results/{name}" and name and _chance(case.path_parameters):
        case.path_parameters["name"] = name


def _offered(body: dict[str, Any]) -> dict[str, Any]:
    """A model that there is, and nothing that it would refuse."""
    kept = {name: value for name, value in body.items() if name not in (*DEPENDS_ON_THE_MODEL, "image")}
    return kept | {"model": MODELS[_chance(body.get("model"))], "prompt": kept.get("prompt") or "a red circle"}

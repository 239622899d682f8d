from __future__ import annotations

from pathlib import Path

import pytest

from modelpool.documents import Catalog, Heartbeat, Loading, SlotFailure
from modelpool.resources.catalog import catalog_of
from modelpool.resources.load import load_pool
from modelpool.resources.models import Source
from modelpool.resources.status import ModelPoolStatus, ModelState, ModelStatus
from modelpool_local import readiness

EXAMPLES = Path(__file__).parents[3] / "examples"
STUDIO = catalog_of(load_pool(EXAMPLES / "studio.yaml"))
SMALL = catalog_of(load_pool(EXAMPLES / "small.yaml"))
PRIMARY = tuple(f"studio-primary-{index}" for index in range(4))
ONLY = "small-only-0"
CORRUPT = SlotFailure(code="model_load_failed", message="corrupt file", at=1)


def beats(*slots: str, **fields: object) -> dict[str, Heartbeat]:
    return {
        slot: Heartbeat.model_validate({"slot": slot, "worker": "w", "pid": 1, "hot": ("shapes-flat",), **fields})
        for slot in slots
    }


def said(state: ModelState, why: str | None = "corrupt file", model: str = "shapes-flat") -> ModelPoolStatus:
    return ModelPoolStatus(models=(ModelStatus(name=model, tier="t", state=state, last_failure=why),))


def test_every_always_model_is_to_be_hot_on_every_slot_of_its_tier() -> None:
    known = beats(*PRIMARY[:3])
    assert readiness.missing(STUDIO, known) == [("studio-primary-3", "shapes-flat")]
    assert readiness.missing(STUDIO, known | beats(PRIMARY[3])) == []


def test_a_slot_that_has_not_reported_is_silent() -> None:
    assert readiness.silent(STUDIO, beats(*PRIMARY)) == ["studio-secondary-0", "studio-secondary-1", "studio-video-0"]


def test_what_is_missing_is_waited_for_unless_it_could_not_be_loaded() -> None:
    known = beats(ONLY, hot=())
    assert readiness.awaited(SMALL, known, None) == [(ONLY, "shapes-flat")]
    assert readiness.awaited(SMALL, known, said(ModelState.COLD, why=None)) == [(ONLY, "shapes-flat")]
    assert readiness.awaited(SMALL, known, said(ModelState.FAILED)) == []


def test_a_model_that_is_being_loaded_again_is_waited_for() -> None:
    assert readiness.awaited(SMALL, beats(ONLY, hot=()), said(ModelState.LOADING)) == [(ONLY, "shapes-flat")]


def test_a_failure_on_one_slot_does_not_hide_that_others_still_load() -> None:
    loading = Loading(model="shapes-flat", since=1)
    known = beats(PRIMARY[0]) | beats(PRIMARY[1], hot=()) | beats(PRIMARY[2], hot=(), loading=loading)
    awaited = readiness.awaited(STUDIO, known, said(ModelState.HOT))
    assert awaited == [("studio-primary-2", "shapes-flat"), ("studio-primary-3", "shapes-flat")]


def test_nothing_can_be_served_once_every_model_has_failed() -> None:
    assert readiness.hopeless(SMALL, beats(ONLY, hot=()), said(ModelState.FAILED)) == {"shapes-flat": "corrupt file"}


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ({}, said(ModelState.FAILED)),
        (beats(ONLY, hot=()), None),
        (beats(ONLY, hot=()), said(ModelState.LOADING)),
        (beats(ONLY, hot=()), said(ModelState.FAILED, model="another")),
        (beats(ONLY), said(ModelState.HOT)),
        (beats(ONLY, hot=(), loading=Loading(model="shapes-flat", since=1)), said(ModelState.FAILED)),
    ],
    ids=["silent", "no status", "tried again", "not tried", "hot", "still loading"],
)
def test_there_is_hope_while_something_may_still_be_loaded(
    known: dict[str, Heartbeat], status: ModelPoolStatus | None
) -> None:
    assert not readiness.hopeless(SMALL, known, status)


def test_there_is_hope_for_other_models_that_nobody_has_asked_for_yet() -> None:
    slots = [slot.slot for slot in STUDIO.slots]
    assert not readiness.hopeless(STUDIO, beats(*slots, hot=()), said(ModelState.FAILED))


def test_there_is_hope_for_a_model_from_a_bucket_which_may_answer_the_next_time() -> None:
    (model,) = SMALL.models
    away = model.model_copy(update={"source": Source(uri="s3://bucket/model.tar", sha256="0" * 64)})
    catalog = Catalog(pool=SMALL.pool, models=(away,), slots=SMALL.slots)
    assert not readiness.hopeless(catalog, beats(ONLY, hot=()), said(ModelState.FAILED))


def test_failures_are_one_line_each() -> None:
    known = beats("s", failed={"shapes-neon": CORRUPT}, error=SlotFailure(code="x", message="odd", at=1))
    assert list(readiness.failures(known, None).values()) == [
        "s: shapes-neon could not be loaded: corrupt file",
        "s: odd",
    ]


def test_a_failure_that_the_worker_has_forgotten_is_known_from_the_operator() -> None:
    told = readiness.failures(beats(ONLY, hot=()), said(ModelState.FAILED))
    assert list(told.values()) == ["shapes-flat could not be loaded: corrupt file"]


def test_the_same_failure_is_the_same_whoever_tells_of_it() -> None:
    worker = readiness.failures(beats(ONLY, hot=(), failed={"shapes-flat": CORRUPT}), None)
    operator = readiness.failures(beats(ONLY, hot=()), said(ModelState.FAILED))
    assert list(worker) == list(operator)
    both = readiness.failures(beats(ONLY, hot=(), failed={"shapes-flat": CORRUPT}), said(ModelState.FAILED))
    assert list(both.values()) == [f"{ONLY}: shapes-flat could not be loaded: corrupt file"]

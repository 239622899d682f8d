"""When a status is worth writing."""

from typing import Any

import pytest

from modelpool.resources.status import Condition, GpuStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool.slots import SlotPhase
from modelpool_operator.pacing import Pace, due_in

PACE = Pace(state_ms=1_000, figures_ms=60_000)


def status(
    *, at: int = 0, phase: SlotPhase = SlotPhase.READY, message: str = "Fine.", hot: tuple[str, ...] = (), **model: Any
) -> ModelPoolStatus:
    return ModelPoolStatus(
        conditions=(Condition(type="Ready", status="True", reason="Serving", message=message),),
        gpus=(GpuStatus(slot="s", tier="t", phase=phase, hot=hot),),
        models=(ModelStatus(name="m", tier="t", state=ModelState.HOT, **model),),
        updated_at=at,
    )


@pytest.mark.parametrize(
    ("age", "new", "wait"),
    [
        pytest.param(9_999_999, status(), None, id="nothing new: never"),
        pytest.param(500, status(phase=SlotPhase.FAILED), 500, id="a state, half a second after the last write"),
        pytest.param(5_000, status(phase=SlotPhase.FAILED), 0, id="a state: now"),
        pytest.param(5_000, status(hot=("m",)), 0, id="a model that came"),
        pytest.param(5_000, status(queued=3), 55_000, id="a figure waits for its minute"),
        pytest.param(60_000, status(per_minute=3.1), 0, id="a figure after a minute"),
        pytest.param(5_000, status(message="Wait 7 s."), 0, id="another sentence"),
        pytest.param(-3_600_000, status(queued=3), 0, id="after the clock was set back"),
        pytest.param(-3_600_000, status(), None, id="nothing new after the clock was set back"),
    ],
)
def test_at_once_for_states_and_once_a_minute_for_figures(age: int, new: ModelPoolStatus, wait: int | None) -> None:
    assert due_in(PACE, status(), new, age) == wait


def test_a_number_in_a_sentence_is_a_figure() -> None:
    assert due_in(PACE, status(message="Back in 8.5 s."), status(message="Back in 6 s."), 2_000) == 58_000


def test_the_moment_at_which_a_status_was_made_is_no_news() -> None:
    assert due_in(PACE, status(at=1), status(at=2), 9_999_999) is None


def test_the_first_status_is_written_at_once() -> None:
    assert due_in(PACE, None, status(), 0) == 0


def test_a_sign_of_life_where_one_is_wanted() -> None:
    pace = Pace(state_ms=1_000, figures_ms=1_000, sign_of_life_ms=15_000)
    assert due_in(pace, status(), status(), 14_999) is None
    assert due_in(pace, status(), status(), 15_000) == 0
    assert due_in(pace, status(), status(), -3_600_000) == 0

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from modelpool.documents import Heartbeat, Loading, RunningBatch, SlotFailure
from modelpool.queue.port import ModelDepth
from modelpool.resources.catalog import catalog_of
from modelpool.resources.load import load_pool
from modelpool.resources.status import CostStatus, GpuStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool.slots import ObservedSlot, SlotPhase
from modelpool_local.table import View, duration, model_rows, render, slot_rows, summary

STUDIO = catalog_of(load_pool(Path(__file__).parents[3] / "examples" / "studio.yaml"))
NOW = 1_000_000


def seen(slot: str, phase: SlotPhase = SlotPhase.READY, since: int = NOW - 60_000, reason: str = "") -> ObservedSlot:
    return ObservedSlot(slot=slot, tier=slot.split("-")[1], phase=phase, since=since, reason=reason)


def beat(slot: str, **fields: object) -> Heartbeat:
    return Heartbeat.model_validate({"slot": slot, "worker": "w", "pid": 1, **fields})


def view(*beats: Heartbeat, slots: tuple[ObservedSlot, ...] = (), **depths: ModelDepth) -> View:
    heartbeats = {one.slot: one for one in beats}
    known = {one.slot: one for one in slots} or {slot: seen(slot) for slot in heartbeats}
    return View(STUDIO, NOW, known, heartbeats, {name.replace("_", "-"): depth for name, depth in depths.items()})


def state_of(shown: View, slot: str) -> tuple[str, str, str, str]:
    row = next(row for row in slot_rows(shown) if row.slot == slot)
    return row.models, row.state, row.batch, row.since


def test_every_slot_of_the_pool_has_a_row_even_before_the_operator_speaks() -> None:
    rows = slot_rows(View(STUDIO, NOW))
    assert [row.slot for row in rows] == [
        *(f"studio-primary-{index}" for index in range(4)),
        "studio-secondary-0",
        "studio-secondary-1",
        "studio-video-0",
    ]
    assert {row.state for row in rows} == {"waiting for the operator"}


def test_a_running_batch_is_shown_with_its_step() -> None:
    batch = RunningBatch(model="shapes-flat", size=4, since=NOW - 2000, step=3, steps=12)
    shown = view(beat("studio-primary-0", hot=("shapes-flat",), batch=batch))
    assert state_of(shown, "studio-primary-0") == ("shapes-flat", "running step 3/12", "4 × shapes-flat", "2 s")


def test_a_load_is_shown_with_its_progress_and_warm_models_in_brackets() -> None:
    loading = Loading(model="shapes-neon", progress=0.4, since=NOW - 1000)
    shown = view(beat("studio-secondary-0", warm=("shapes-outline",), loading=loading))
    assert state_of(shown, "studio-secondary-0") == ("(shapes-outline)", "loading shapes-neon 40%", "", "1 s")


def test_a_crashed_worker_shows_why_and_when_it_starts_again() -> None:
    shown = view(slots=(seen("studio-video-0", SlotPhase.RESTARTING, reason="was killed by SIGKILL; starts again"),))
    assert state_of(shown, "studio-video-0")[1] == "crashed: was killed by SIGKILL; starts again"


def test_a_process_without_a_heartbeat_is_still_starting() -> None:
    shown = view(slots=(seen("studio-video-0"),))
    assert state_of(shown, "studio-video-0") == ("", "starting", "", "60 s")


def test_an_error_is_shown_when_nothing_runs() -> None:
    failure = SlotFailure(code="device_failed", message="the device fell off the bus", at=NOW - 3000)
    shown = view(beat("studio-video-0", error=failure))
    assert state_of(shown, "studio-video-0") == ("", "failed: the device fell off the bus", "", "3 s")


def test_models_show_where_they_are_hot_what_waits_and_for_how_long() -> None:
    hot = [beat(f"studio-primary-{index}", hot=("shapes-flat",)) for index in range(2)]
    loading = beat("studio-secondary-0", loading=Loading(model="shapes-neon", since=NOW))
    shown = view(
        *hot,
        loading,
        shapes_flat=ModelDepth(queued=8, running=4, queued_work=12.0),
        shapes_neon=ModelDepth(queued=1, queued_work=1.0),
    )
    rows = {row.model: row for row in model_rows(shown)}
    assert rows["shapes-flat"][2:] == ("2 slots", "8", "4", "", "6 s")
    assert rows["shapes-neon"][2:] == ("loading", "1", "", "", "loading")
    assert rows["shapes-motion"][2:] == ("0 slots", "", "", "", "")


def test_rates_come_from_the_operators_status() -> None:
    status = ModelPoolStatus(
        models=(ModelStatus(name="shapes-flat", tier="primary", state=ModelState.HOT, per_minute=3.5),)
    )
    rows = {row.model: row for row in model_rows(View(STUDIO, NOW, status=status))}
    assert rows["shapes-flat"].per_minute == "3.5"


def test_an_idle_slot_counts_from_its_last_change() -> None:
    shown = view(beat("studio-primary-0", hot=("shapes-flat",), progress_at=NOW))
    assert state_of(shown, "studio-primary-0") == ("shapes-flat", "idle", "", "60 s")
    gpu = GpuStatus(slot="studio-primary-0", tier="primary", phase=SlotPhase.READY, since=NOW - 5000)
    after_a_swap = replace(shown, status=ModelPoolStatus(gpus=(gpu,)))
    assert state_of(after_a_swap, "studio-primary-0")[3] == "5 s"


def test_the_tables_render_text_as_it_is() -> None:
    reason = "exited [bold]; see log"
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render(view(slots=(seen("studio-video-0", SlotPhase.RESTARTING, reason=reason),))))
    text = console.export_text()
    assert reason in text
    assert "shapes-mosaic" in text


def test_the_title_says_what_a_generation_costs_once_that_is_known() -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    status = ModelPoolStatus(cost=CostStatus(per_generation_usd="0.0031", useful_share=0.42))
    console.print(render(replace(view(), status=status)))
    console.print(render(view()))
    known, unknown = console.export_text().split("pool default/studio")[1:]
    assert "$0.0031 a generation, GPUs 42% useful in the last hour" in known
    assert "$" not in unknown


def test_the_summary_is_one_line() -> None:
    batch = RunningBatch(model="shapes-flat", size=4, since=NOW)
    shown = view(
        beat("studio-primary-0", hot=("shapes-flat",), batch=batch), shapes_flat=ModelDepth(queued=2, running=4)
    )
    assert summary(shown) == "1 of 7 slots alive, 1 busy; hot: shapes-flat; 2 queued, 4 running"


def test_durations_are_short() -> None:
    assert [duration(ms) for ms in (-5, 8_400, 180_000, 7_200_000)] == ["0 s", "8 s", "3 min", "2 h"]

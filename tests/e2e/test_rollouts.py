"""What changes of a pool's workers is changed slot by slot, while jobs flow; what cannot work stops at the first slot."""

import time
from collections.abc import Callable, Iterator

import pytest

from cluster import Cluster
from cluster.kubectl import Object
from support.lookout import Lookout
from support.rota import LOAD_SECONDS, PRIMARY, SLOTS, Rota, annotated, rota_pool, tier

Record = Callable[[str, object], None]
# Nobody listens there, so a node hears at once that it cannot have the image.
NOWHERE = "127.0.0.1:9/worker:1"


def with_image(image: str) -> Object:
    """The pool with this image of the worker."""
    pool = rota_pool()
    pool["spec"]["worker"]["image"] = image
    return pool


def replaced(rota: Rota, before: dict[str, tuple[str, int]]) -> set[str]:
    """Slots whose pod is another one by now."""
    return {name for name, pod in rota.pods().items() if pod.uid != before[name][0]}


@pytest.fixture
def next_image(cluster: Cluster, images: dict[str, str]) -> Iterator[str]:
    """The worker's image under another name: what a node has under the name of the next version."""
    image = f"{images['worker'].rpartition(':')[0]}:next"
    for node in cluster.nodes.values():
        node.ctr("images", "tag", "--force", images["worker"], image)
    yield image
    for node in cluster.nodes.values():
        node.ctr("images", "rm", image)


@pytest.mark.budget(60)
def test_a_new_image_goes_slot_by_slot_while_jobs_flow_and_none_is_lost(
    rota: Rota, next_image: str, record_property: Record
) -> None:
    before, started = rota.lives(), time.monotonic()
    with rota.traffic("base", "red") as visitors, Lookout(rota) as lookout:
        visitors.flows()
        rota.apply(with_image(next_image))
        rota.until("a rollout is under way", lambda: rota.says("Progressing", "RollingOut"))
        rota.until_served()
        record_property("new image in four slots, s", round(time.monotonic() - started, 1))
        visitors.flows()
    outcome = visitors.outcome()
    record_property("traffic", str(outcome))
    record_property("longest pause between results, s", round(outcome.longest_pause, 1))

    assert replaced(rota, before) == set(SLOTS)
    assert {pod.image for pod in rota.pods().values()} == {next_image}
    assert lookout.fewest_ready(*SLOTS) >= len(SLOTS) - 1, "one slot after the other"
    assert lookout.fewest_ready(*PRIMARY) >= 1, "somebody always holds what must always be there"
    assert (outcome.lost, outcome.refused) == ([], [])


@pytest.mark.budget(45)
def test_an_image_that_cannot_be_had_stops_at_its_first_slot_and_a_good_one_heals_it(
    rota: Rota, record_property: Record
) -> None:
    before = rota.lives()
    with rota.traffic("base") as visitors:
        rota.apply(with_image(NOWHERE))
        stopped = rota.until(
            "the rollout says that it has stopped, where and why",
            lambda: rota.says("Degraded", "RolloutStopped", "does not come up with the new template", NOWHERE),
        )
        record_property("what the condition says", stopped["message"] if stopped else "")
        (first,) = replaced(rota, before)
        assert rota.slot(first)["phase"] == "Failed"
        assert first in str(stopped)
        visitors.flows()
        assert replaced(rota, before) == {first}, "the others are left alone"

        rota.apply(rota_pool())
        rota.until_served()
        assert replaced(rota, before) == {first}
    outcome = visitors.outcome()
    assert (outcome.lost, outcome.refused) == ([], [])


@pytest.mark.budget(60)
def test_a_changed_template_goes_slot_by_slot_too(rota: Rota) -> None:
    before = rota.lives()
    with rota.traffic("base") as visitors, Lookout(rota) as lookout:
        rota.apply(annotated(rota_pool(), team="art"))
        rota.until("a rollout is under way", lambda: rota.says("Progressing", "RollingOut"))
        rota.until_served()
    outcome = visitors.outcome()
    assert replaced(rota, before) == set(SLOTS)
    assert lookout.fewest_ready(*SLOTS) >= len(SLOTS) - 1
    assert lookout.fewest_ready(*PRIMARY) >= 1
    assert (outcome.lost, outcome.refused) == ([], [])


@pytest.mark.budget(30)
def test_a_new_revision_is_loaded_slot_by_slot_while_jobs_flow_and_none_is_lost(
    rota: Rota, record_property: Record
) -> None:
    before, loads = rota.lives(), rota.loads("base")
    pool = rota_pool()
    (base,) = tier(pool, "primary")["models"]
    base["source"]["revision"] = f"v{time.time_ns()}"
    with rota.traffic("base") as visitors:
        visitors.flows()
        rota.apply(pool)
        rota.until("it goes slot by slot", lambda: rota.says("Progressing", "RollingOut", "base (1 to go)"))
        rota.until(
            "each slot has loaded the model once more",
            lambda: rota.loads("base") == {slot: loads[slot] + 1 for slot in PRIMARY},
        )
        rota.until_served()
        visitors.flows()
    outcome = visitors.outcome()
    record_property("longest pause between results, s", round(outcome.longest_pause, 1))
    assert outcome.longest_pause < LOAD_SECONDS, "one slot serves while the other loads"
    assert rota.lives() == before, "no worker was restarted for it"
    assert (outcome.lost, outcome.refused) == ([], [])

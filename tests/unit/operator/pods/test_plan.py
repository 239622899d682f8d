"""Which pod comes, goes or waits next."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.slots import SlotPhase
from modelpool_operator.runtimes.pods.facts import SeenPod
from modelpool_operator.runtimes.pods.plan import (
    PodAction,
    PodReason,
    PodSituation,
    PodVerb,
    Wanted,
    pod_plan,
    repair_of,
)
from modelpool_operator.runtimes.pods.spec import PLACEMENT_HASH, TEMPLATE_HASH

NOW = 1_000_000
A0, A1, R0 = "p-always-0", "p-always-1", "p-rotate-0"


def wanted(name: str, template: str = "new", placement: str = "here") -> Wanted:
    metadata = {
        "name": name,
        "labels": {"modelpool.dev/pool": "p", "team": "art"},
        "annotations": {TEMPLATE_HASH: template, PLACEMENT_HASH: placement},
        "ownerReferences": [{"kind": "ModelPool", "uid": "owner"}],
    }
    return Wanted({"metadata": metadata}, name.split("-")[1])


def pod(name: str, template: str = "new", phase: SlotPhase = SlotPhase.READY, **more: Any) -> SeenPod:
    metadata = wanted(name, template).manifest["metadata"]
    fields: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "tier": name.split("-")[1],
        "node": "node-1",
        "template_hash": template,
        "placement_hash": "here",
        "phase": phase,
        "ready": phase is SlotPhase.READY,
        "metadata": metadata,
    }
    return SeenPod(**{**fields, **more})


def situation(*pods: SeenPod, **more: Any) -> PodSituation:
    serving = frozenset(one.name for one in pods if one.ready)
    fields: dict[str, Any] = {
        "now": NOW,
        "wanted": [wanted(name) for name in (A0, A1, R0)],
        "pods": {one.name: one for one in pods},
        "beating": serving,
        "serving": serving,
        "always": frozenset({"always"}),
    }
    return PodSituation(**{**fields, **more})


def told(actions: tuple[PodAction, ...]) -> list[tuple[str, str, str]]:
    return [(action.verb.value, action.slot, action.reason.value) for action in actions]


def old(name: str, phase: SlotPhase = SlotPhase.READY, **more: Any) -> SeenPod:
    return pod(name, "old", phase, **more)


FAILED = SlotPhase.FAILED
PENDING: dict[str, Any] = {"phase": SlotPhase.PENDING, "unschedulable": True, "reason": "Insufficient nvidia.com/gpu"}
DRAINING: dict[str, Any] = {"phase": SlotPhase.DRAINING, "deleted_at": NOW + 1000}
ALL = [pod(A0), pod(A1), pod(R0)]


@pytest.mark.parametrize(
    ("seen", "actions"),
    [
        pytest.param(situation(*ALL), [], id="all as it should be"),
        pytest.param(
            situation(),
            [("create", A0, "Missing"), ("create", A1, "Missing"), ("create", R0, "Missing")],
            id="a new pool: all at once",
        ),
        pytest.param(
            situation(pod(A0), pod(A1, **DRAINING), pod(R0)),
            [("wait", A1, "Terminating")],
            id="nothing is created while the old pod is going",
        ),
        pytest.param(
            situation(pod(A0), pod(A1, phase=FAILED, ended=True), pod(R0)),
            [("delete", A1, "Ended")],
            id="an evicted pod is deleted first",
        ),
        pytest.param(
            situation(pod(A0), pod(A1, phase=FAILED), pod(R0)), [], id="the kubelet restarts a container by itself"
        ),
        pytest.param(
            situation(*ALL, pod("p-always-2"), pod("p-gone-0")),
            [("delete", "p-always-2", "NotWanted"), ("delete", "p-gone-0", "NotWanted")],
            id="slots and tiers that are gone",
        ),
        pytest.param(
            situation(pod(A0, phase=SlotPhase.STARTING), pod(A1, phase=SlotPhase.STARTING), pod(R0), pod("p-always-2")),
            [("wait", "p-always-2", "LastOfItsTier")],
            id="the last slot that serves an Always tier stays until another serves",
        ),
        pytest.param(
            situation(*ALL, pod("p-always-2", **DRAINING)),
            [("wait", "p-always-2", "Terminating")],
            id="a slot that is going is let go",
        ),
        # --- nodes that are lost
        pytest.param(
            situation(pod(A0), pod(A1, **DRAINING, node_lost=True, unready_since=NOW - 60_000), pod(R0)),
            [("force delete", A1, "NodeLost")],
            id="a node that does not answer, and whose worker is silent",
        ),
        pytest.param(
            situation(
                pod(A0),
                pod(A1, **DRAINING, node_lost=True, unready_since=NOW - 60_000),
                pod(R0),
                beating=frozenset({A0, A1, R0}),
            ),
            [("wait", A1, "Terminating")],
            id="its worker still reports: it drains",
        ),
        pytest.param(
            situation(pod(A0), pod(A1, **DRAINING, node_lost=True, unready_since=NOW - 59_000), pod(R0)),
            [("wait", A1, "Terminating")],
            id="not lost for long enough",
        ),
        pytest.param(
            situation(pod(A0), pod(A1, **DRAINING, node_lost=True, unready_since=NOW - 60_000), pod(R0), beating=None),
            [("wait", A1, "Terminating")],
            id="without Redis nobody knows whether the worker is silent",
        ),
        pytest.param(
            situation(pod(A0), pod(A1, phase=SlotPhase.DRAINING, deleted_at=NOW - 60_000), pod(R0)),
            [("force delete", A1, "NodeLost")],
            id="its grace period has long been over",
        ),
        pytest.param(
            situation(
                pod(A0),
                pod(A1, phase=SlotPhase.DRAINING, deleted_at=NOW - 60_000),
                pod(R0),
                beating=frozenset({A0, A1, R0}),
            ),
            [("wait", A1, "Terminating")],
            id="its grace period has long been over, and its worker still reports",
        ),
        # --- a changed template
        pytest.param(
            situation(old(A0), old(A1), old(R0)), [("delete", A0, "Outdated")], id="one slot after the other: the first"
        ),
        pytest.param(
            situation(pod(A0, **DRAINING), old(A1), old(R0)),
            [("wait", A0, "Terminating"), ("wait", A1, "Rollout")],
            id="the first is going",
        ),
        pytest.param(
            situation(old(A1), old(R0)), [("create", A0, "Missing"), ("wait", A1, "Rollout")], id="the first is created"
        ),
        pytest.param(
            situation(pod(A0, phase=SlotPhase.STARTING), old(A1), old(R0)),
            [("wait", A1, "Rollout")],
            id="the first is starting",
        ),
        pytest.param(
            situation(pod(A0), old(A1), old(R0), serving=frozenset({A1, R0})),
            [("wait", A1, "Rollout")],
            id="the first is ready and does not hold its models yet",
        ),
        pytest.param(
            situation(pod(A0), old(A1), old(R0)), [("delete", A1, "Outdated")], id="the first serves: the next"
        ),
        pytest.param(
            situation(pod(A0, phase=FAILED, reason="ImagePullBackOff"), old(A1), old(R0)),
            [("wait", A1, "RolloutStopped")],
            id="a bad image stops at the first slot",
        ),
        pytest.param(
            situation(old(A0, FAILED), old(A1), old(R0)),
            [("delete", A0, "Outdated")],
            id="after the mend, the slot that did not come up is first",
        ),
        pytest.param(
            situation(old(A0), old(A1, FAILED), old(R0, SlotPhase.RESTARTING)),
            [("delete", A1, "Outdated"), ("delete", R0, "Outdated")],
            id="what does not serve anyway is replaced at once",
        ),
        pytest.param(
            situation(old(A0), pod(A1, **PENDING), old(R0)),
            [("delete", A0, "Outdated")],
            id="a slot for which there is no room holds nobody up, as others with the same demands run",
        ),
        pytest.param(
            situation(old(A0), pod(A1, **PENDING, placement_hash="nowhere"), old(R0)),
            [("wait", A0, "RolloutStopped")],
            id="new demands that no node meets stop the rollout",
        ),
        pytest.param(
            situation(old(A0), old(A1), pod(R0), serving=frozenset({A0, R0})),
            [("delete", A1, "Outdated")],
            id="of an Always tier the slot that serves stays until another does",
        ),
        pytest.param(
            situation(old(A0), old(A1), pod(R0), serving=frozenset({R0})),
            [("wait", A0, "LastOfItsTier")],
            id="no slot of the Always tier holds its models yet",
        ),
        pytest.param(
            situation(old(A0), pod(R0), wanted=[wanted(A0), wanted(R0)]),
            [("delete", A0, "Outdated")],
            id="an Always tier of one slot cannot keep another",
        ),
        pytest.param(
            situation(old(A0), old(A1), old(R0), beating=None, serving=None),
            [("wait", A0, "Rollout")],
            id="without Redis nobody is replaced",
        ),
        pytest.param(
            situation(old(A0), old(A1), old(R0), pod("p-always-2", **DRAINING)),
            [("wait", "p-always-2", "Terminating"), ("delete", A0, "Outdated")],
            id="a surplus slot that is going holds nobody up",
        ),
    ],
)
def test_the_next_step(seen: PodSituation, actions: list[tuple[str, str, str]]) -> None:
    assert told(pod_plan(seen)) == actions


def test_deletions_carry_the_uid_of_the_pod_that_was_meant() -> None:
    assert {action.uid for action in pod_plan(situation(old(A0), pod(A1), pod(R0)))} == {f"uid-{A0}"}


def test_a_stopped_rollout_says_where_and_why() -> None:
    (action,) = pod_plan(situation(pod(A0, phase=FAILED, reason="ImagePullBackOff: no x"), old(A1), old(R0)))
    assert action.sentence == f"{A0} does not come up with the new template: ImagePullBackOff: no x"


# --- outside edits ------------------------------------------------------------------------------------------------


def edited(**metadata: Any) -> SeenPod:
    return replace(pod(A0), metadata={**wanted(A0).manifest["metadata"], **metadata})


@pytest.mark.parametrize(
    ("found", "change"),
    [
        pytest.param(edited(), {}, id="untouched"),
        pytest.param(edited(labels={"modelpool.dev/pool": "p", "team": "art", "theirs": "x"}), {}, id="more is theirs"),
        pytest.param(
            edited(labels={"modelpool.dev/pool": "other", "team": "art"}),
            {"labels": {"modelpool.dev/pool": "p"}},
            id="a label of ours",
        ),
        pytest.param(
            edited(labels={"modelpool.dev/pool": "p"}), {"labels": {"team": "art"}}, id="a label of the template"
        ),
        pytest.param(
            edited(ownerReferences=[]), {"ownerReferences": [{"kind": "ModelPool", "uid": "owner"}]}, id="no owner"
        ),
        pytest.param(
            edited(ownerReferences=[{"kind": "ModelPool", "uid": "before"}, {"kind": "Other", "uid": "x"}]),
            {"ownerReferences": [{"kind": "ModelPool", "uid": "owner"}, {"kind": "Other", "uid": "x"}]},
            id="another pool's",
        ),
    ],
)
def test_outside_edits_are_mended(found: SeenPod, change: dict[str, Any]) -> None:
    assert repair_of(wanted(A0), found) == ({"metadata": {"uid": f"uid-{A0}", **change}} if change else {})
    actions = told(pod_plan(situation(found, pod(A1), pod(R0))))
    assert actions == ([("repair", A0, "Edited")] if change else [])


def test_a_pod_that_has_lost_its_hash_is_of_an_unknown_template_and_is_replaced() -> None:
    assert told(pod_plan(situation(pod(A0, ""), pod(A1), pod(R0)))) == [("delete", A0, "Outdated")]


def test_an_outdated_pod_is_mended_with_our_own_labels_only() -> None:
    found = replace(old(A0), metadata={"labels": {}, "annotations": {}, "ownerReferences": []})
    assert repair_of(wanted(A0), found)["metadata"]["labels"] == {"modelpool.dev/pool": "p"}


# --- whatever is there --------------------------------------------------------------------------------------------

phases = st.sampled_from(list(SlotPhase))
anything = st.builds(
    lambda name, template, phase, deleted, ended, placement: pod(
        name,
        template,
        SlotPhase.DRAINING if deleted else phase,
        deleted_at=NOW + 5000 if deleted else None,
        ended=ended and not deleted and phase is FAILED,
        unschedulable=phase is SlotPhase.PENDING,
        placement_hash=placement,
    ),
    st.sampled_from([A0, A1, R0, "p-always-2", "p-gone-0"]),
    st.sampled_from(["new", "old"]),
    phases,
    st.booleans(),
    st.booleans(),
    st.sampled_from(["here", "there"]),
)
situations = st.builds(
    lambda pods, silent: situation(
        *pods,
        serving=frozenset(one.name for one in pods if one.ready and one.name not in silent),
    ),
    st.lists(anything, max_size=6, unique_by=lambda one: one.name),
    st.sets(st.sampled_from([A0, A1, R0])),
)


@given(situations)
def test_one_slot_has_one_action_and_the_same_look_gives_the_same_plan(seen: PodSituation) -> None:
    actions = pod_plan(seen)
    assert len({action.slot for action in actions}) == len(actions)
    assert pod_plan(seen) == actions


@given(situations)
def test_at_most_one_serving_slot_is_taken_for_a_rollout_and_never_the_last_of_an_always_tier(
    seen: PodSituation,
) -> None:
    names = {one.name for one in seen.wanted}
    serving = seen.serving or frozenset()
    taken = [
        action.slot
        for action in pod_plan(seen)
        if action.verb is PodVerb.DELETE and action.slot in serving and action.slot in names
    ]
    assert len(taken) <= 1
    for slot in taken:
        peers = {A0, A1} - {slot}
        roomless = {name for name in peers if name in seen.pods and seen.pods[name].unschedulable}
        assert slot == R0 or (peers & serving) or peers == roomless


@given(situations)
def test_nothing_is_done_to_a_pod_that_is_going(seen: PodSituation) -> None:
    going = {name for name, found in seen.pods.items() if found.deleted_at is not None}
    touched = {action.slot for action in pod_plan(seen) if action.verb is not PodVerb.WAIT}
    assert not going & touched


@given(situations)
def test_pods_are_created_only_where_there_is_none(seen: PodSituation) -> None:
    created = {action.slot for action in pod_plan(seen) if action.verb is PodVerb.CREATE}
    assert created == {one.name for one in seen.wanted} - set(seen.pods)


@given(situations)
def test_every_wait_of_a_rollout_has_its_reason(seen: PodSituation) -> None:
    for action in pod_plan(seen):
        assert action.sentence
        if action.reason is PodReason.ROLLOUT_STOPPED:
            assert action.verb is PodVerb.WAIT


@pytest.mark.parametrize("phase", [SlotPhase.STARTING, SlotPhase.RESTARTING])
def test_a_worker_that_restarts_while_the_new_template_is_unproven_keeps_its_own(phase: SlotPhase) -> None:
    seen = situation(pod(A0, phase=FAILED, reason="ImagePullBackOff"), old(A1, phase, restarts=1), old(R0))
    assert told(pod_plan(seen)) == [("wait", A1, "RolloutStopped")]
    seen = situation(pod(A0), old(A1, phase, restarts=1), old(R0))
    assert told(pod_plan(seen)) == [("delete", A1, "Outdated")]

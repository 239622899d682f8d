from __future__ import annotations

from modelpool.documents import Assignment, Catalog, CatalogSlot, Heartbeat
from modelpool_operator.revisions import reload_of, with_turns
from support.worker import model

SLOTS = ("a", "b", "c")


def catalog(revision: str) -> Catalog:
    slots = tuple(CatalogSlot(slot=slot, tier="primary", vram_bytes=1, host_memory_bytes=1) for slot in SLOTS)
    return Catalog(pool="p", models=(model("flat", revision=revision), model("neon")), slots=slots)


def beats(**revisions: str | None) -> dict[str, Heartbeat]:
    """By slot: the revision of "flat" that it serves; None: it holds nothing."""
    return {
        slot: Heartbeat(
            slot=slot,
            worker=slot,
            pid=1,
            hot=("flat",) if revision else (),
            revisions={"flat": revision} if revision else {},
        )
        for slot, revision in revisions.items()
    }


ASSIGNED = {slot: Assignment(epoch=1, version=1, hot=("flat",)) for slot in SLOTS}


def staying(found: Catalog) -> dict[str, dict[str, str]]:
    return {slot.slot: slot.stays for slot in found.slots if slot.stays}


def test_while_all_is_current_nothing_is_said() -> None:
    assert with_turns(catalog("1"), beats(a="1", b="1", c="1"), ASSIGNED) == catalog("1")


def test_the_first_slot_has_its_turn_and_the_others_serve_on() -> None:
    found = with_turns(catalog("2"), beats(a="1", b="1", c="1"), ASSIGNED)
    assert staying(found) == {"b": {"flat": "1"}, "c": {"flat": "1"}}


def test_while_one_loads_the_others_serve_on() -> None:
    found = with_turns(catalog("2"), beats(a=None, b="1", c="1"), ASSIGNED)
    assert staying(found) == {"b": {"flat": "1"}, "c": {"flat": "1"}}


def test_the_next_one_follows_when_that_is_done() -> None:
    found = with_turns(catalog("2"), beats(a="2", b="1", c="1"), ASSIGNED)
    assert staying(found) == {"c": {"flat": "1"}}


def test_a_slot_without_a_worker_is_not_waited_for() -> None:
    found = with_turns(catalog("2"), beats(b="1", c="1"), ASSIGNED)
    assert staying(found) == {"c": {"flat": "1"}}


def test_a_slot_that_is_not_to_hold_the_model_is_not_waited_for() -> None:
    assigned = {**ASSIGNED, "a": Assignment(epoch=1, version=2, hot=("neon",))}
    assert staying(with_turns(catalog("2"), beats(a=None, b="1", c="1"), assigned)) == {"c": {"flat": "1"}}


def test_the_only_slot_of_a_model_has_its_turn_at_once() -> None:
    assert staying(with_turns(catalog("2"), beats(b="1"), ASSIGNED)) == {}


def test_a_worker_that_does_not_tell_revisions_is_taken_for_current() -> None:
    silent = {"a": Heartbeat(slot="a", worker="a", pid=1, hot=("flat",))}
    assert reload_of(catalog("2"), silent) == ""


def test_how_many_slots_are_outdated_is_told_by_model() -> None:
    assert reload_of(catalog("2"), beats(a="2", b="1", c="1")) == "flat (2 to go)"

"""The next move from what a slot holds to what it shall hold. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Place(StrEnum):
    """Where a model's weights are."""

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


@dataclass(frozen=True, slots=True)
class Holding:
    """One model that a slot holds."""

    place: Place
    revision: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a slot shall hold, in the order of the assignment, and the revision of each model in the catalog.

    ``stays`` are older revisions that are good enough for now.
    """

    hot: Sequence[str] = ()
    warm: Sequence[str] = ()
    revisions: Mapping[str, str] | None = None
    stays: Mapping[str, str] = field(default_factory=dict)

    def place(self, model: str) -> Place:
        """Where the assignment wants this model."""
        if model in self.hot:
            return Place.HOT
        return Place.WARM if model in self.warm else Place.COLD

    def current(self, model: str, holding: Holding) -> bool:
        """Whether what is held is the revision that the catalog offers, or one that stays for now."""
        if self.revisions is None or self.stays.get(model) == holding.revision:
            return True
        return self.revisions.get(model, holding.revision) == holding.revision


@dataclass(frozen=True, slots=True)
class Move:
    """Bring one model from one place to another."""

    model: str
    origin: Place
    to: Place


def next_move(held: Mapping[str, Holding], wanted: Wanted, given_up: Collection[str] = ()) -> Move | None:
    """What to do first: make room, then wake what is warm, then load what is cold, hot before warm.

    ``given_up`` are models whose load has failed under this assignment.
    """
    for model, holding in held.items():
        if wanted.place(model) is Place.COLD or not wanted.current(model, holding):
            return Move(model, holding.place, Place.COLD)
    for model, holding in held.items():
        if holding.place is Place.HOT and wanted.place(model) is Place.WARM:
            return Move(model, Place.HOT, Place.WARM)
    missing = [model for model in (*wanted.hot, *wanted.warm) if model not in given_up]
    for model in missing:
        if model in held and held[model].place is Place.WARM and wanted.place(model) is Place.HOT:
            return Move(model, Place.WARM, Place.HOT)
    for model in missing:
        if model not in held:
            return Move(model, Place.COLD, wanted.place(model))
    return None

"""What a slot keeps about one model."""

from __future__ import annotations

from dataclasses import dataclass

from modelpool.documents import CatalogModel
from modelpool_worker.engines.protocol import Resident
from modelpool_worker.measuring import Running
from modelpool_worker.residency.moves import Place


@dataclass(slots=True)
class Held:
    """One model of the slot."""

    model: CatalogModel
    resident: Resident
    place: Place
    pins: int = 0
    loads_ms: tuple[tuple[int, int], ...] = ()
    """Wall clock intervals of the moves that made it hot: one from disk, or from disk to host RAM and on from there."""


class LoadTimes:
    """How long a model took to become hot, by where it came from."""

    def __init__(self) -> None:
        self.by_origin = {Place.COLD: Running(), Place.WARM: Running()}

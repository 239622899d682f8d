"""Somebody who keeps an eye on a pool's pods while something else happens."""

import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from support.rota import Rota, SlotPod


@dataclass
class Lookout:
    """Looks ten times a second; use as a context manager, around scenarios in which the API server stays."""

    rota: Rota
    sights: list[dict[str, SlotPod]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, name="lookout")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def fewest_ready(self, *slots: str) -> int:
        """How many of these slots had a pod that serves, at the worst moment."""
        return min(sum(slot in sight and _serves(sight[slot]) for slot in slots) for sight in self.sights)

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.sights.append(self.rota.pods())


def _serves(pod: SlotPod) -> bool:
    return pod.ready and not pod.going

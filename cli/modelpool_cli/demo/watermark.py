"""The highest of readings that a thread takes all the while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

EVERY_SECONDS = 2.0
"""The kernel walks through all pages for a reading: a tenth of a second of processor time for eight processes."""


class Watermark:
    """Use as a context manager: ``read`` is called at once, every ``seconds``, and once more at the end."""

    def __init__(self, read: Callable[[], int], seconds: float = EVERY_SECONDS) -> None:
        self.highest = 0
        self._read = read
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watermark", daemon=True)

    def __enter__(self) -> Watermark:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._note()

    def _watch(self) -> None:
        self._note()
        while not self._over.wait(self._seconds):
            self._note()

    def _note(self) -> None:
        self.highest = max(self.highest, self._read())

"""Writing sightings down, for those who want to try the rules before they enforce them. Off unless asked for."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from modelpool.errors import InvalidInput
from modelpool_api.behaviour.sightings import Sighting, to_line
from modelpool_api.policy import Record

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class _Lines(RotatingFileHandler):
    """A full disk costs lines, not requests; it is said once."""

    def __init__(self, file: str, size: int, give_up: Callable[[], None]) -> None:
        super().__init__(file, maxBytes=size, backupCount=1, encoding="utf-8")
        self._give_up = give_up

    def handleError(self, record: logging.LogRecord) -> None:
        """Of ``emit``, whose own way is a traceback on stderr for every line."""
        self._give_up()


class Recorder:
    """One process's log: a file, and the one before it, of at most half the size each."""

    def __init__(self, rules: Record) -> None:
        """Open the file.

        :raises InvalidInput: it cannot be written.
        """
        self._file = rules.file
        self._failed = False
        try:
            self._lines = _Lines(rules.file, rules.megabytes * 500_000, self._give_up)
        except OSError as error:
            raise InvalidInput(
                f"behaviour.record.file {rules.file} cannot be written: {error.strerror}", param="admission"
            ) from error

    def record(self, sighting: Sighting) -> None:
        """Add one line."""
        self._lines.emit(logging.makeLogRecord({"msg": to_line(sighting)}))

    def close(self) -> None:
        """Write what is left."""
        self._lines.close()

    def _give_up(self) -> None:
        if not self._failed:
            self._failed = True
            log.error("requests are not recorded for now: %s cannot be written: %s", self._file, sys.exc_info()[1])

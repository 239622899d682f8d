"""Which models the operator moved, and why, read from its log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Move:
    """One decision. ``action`` is ``load`` or ``unload``."""

    action: str
    model: str
    slot: str
    why: str


def read_moves(log: Path) -> list[Move]:
    """Every move, in order. What is no line of a move is passed over; no log is no moves."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [move for line in lines if (move := _read(line)) is not None]


def _read(line: str) -> Move | None:
    try:
        found = json.loads(line)
        return Move(found["action"], found["model"], found["slot"], found["why"])
    except (ValueError, KeyError, TypeError):
        return None

"""The last lines of what the cluster's processes wrote, for the report of a failure."""

from cluster.layout import Layout

LINES = 12
LONGEST_LINE = 400
FAR_ENOUGH = 64 * 1024
"""Bytes from a log's end that hold its last lines."""


def tails(layout: Layout, lines: int = LINES) -> str:
    """The end of each process's log, under its name. The audit log is left out: it is long, and says what was asked, not what went wrong."""
    found = sorted(path for path in layout.logs.glob("*.log") if path != layout.audit_log)
    return "\n\n".join(f"--- {path.name}\n{_tail(path.read_bytes()[-FAR_ENOUGH:], lines)}" for path in found)


def _tail(text: bytes, lines: int) -> str:
    return "\n".join(line[:LONGEST_LINE] for line in text.decode(errors="replace").splitlines()[-lines:])

"""How long a client is willing to wait: ``Prefer: wait=N`` (RFC 7240) and ``?wait=N``."""

from __future__ import annotations

import re

MAX_WAIT = 60.0
_WAIT = re.compile(r'(?:^|,|;)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|,|;)', re.IGNORECASE)


def preferred_wait(header: str | None) -> float | None:
    """Seconds asked for, at most :data:`MAX_WAIT`; None without the preference. What is not understood is ignored."""
    found = _WAIT.search(header or "")
    return min(MAX_WAIT, float(found[1])) if found else None

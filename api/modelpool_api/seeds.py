"""Which seed a request without one gets: from a ring of eight for each set of words, options and UTC day. Pure.

One person who asks again gets the next entry, so a new picture; a crowd that types the same costs eight generations.
"""

from __future__ import annotations

import hashlib

from modelpool.jobs import JobRequest

RING = 8
SEEDS = 2**32


def words_digest(request: JobRequest, engine_version: str, image: bytes | str | None) -> str:
    """What makes two requests the same but for the seed; ``image`` is the input as it came, or the key of a result."""
    if request.seed or image or request.input:
        given = hashlib.sha256(image).hexdigest() if isinstance(image, bytes) else image
        request = request.model_copy(update={"seed": 0, "input": given})
    return request.digest(engine_version)


def ring_seed(words: str, day: int, subject: str, nth: int) -> int:
    """The seed of a subject's ``nth`` request (from 0) for these words on this day (counted from 1970)."""
    start = int.from_bytes(hashlib.sha256(f"{words}\n{subject}".encode()).digest()[:8], "big")
    entry = (start + nth) % RING
    return int.from_bytes(hashlib.sha256(f"{words}\n{day}\n{entry}".encode()).digest()[:8], "big") % SEEDS

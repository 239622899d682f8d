"""The requests: pictures asked for by many browsers, each with its address, cookie and fingerprint, byte for byte alike for all."""

from __future__ import annotations

import json
import time

from modelpool_api.identity.cookie import make_cookie
from modelpool_api.identity.resolver import new_visitor
from modelpool_api.identity.ring import SecretRing

SECRET = "a-secret-for-the-benchmark"
VISITORS = 4_000
"""So many that nobody asks twice within a second or uses an allowance up."""


def visitors(count: int = VISITORS) -> list[str]:
    """The cookies of ``count`` visitors."""
    ring, now = SecretRing.parse(SECRET), int(time.time())
    return [make_cookie(new_visitor(), now, ring) for _ in range(count)]


def request(number: int, cookies: list[str]) -> bytes:
    """A request for a picture that no other number asks for, as a browser behind the edge sends it."""
    who = number % len(cookies)
    body = json.dumps(
        {
            "model": "shapes",
            "prompt": f"A lighthouse on a rocky coast at dusk, waves breaking, warm light in the windows, {number}",
            "negativePrompt": "blurry, watermark",
            "width": 64,
            "height": 64,
            "steps": 4,
            "format": "webp",
            "quality": 90,
        }
    ).encode()
    lines = (
        "POST /v1/jobs HTTP/1.1",
        "Host: pictures.example",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept: application/json",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Cookie: modelpool_visitor={cookies[who]}",
        f"Modelpool-Fingerprint: {who:032x}",
        f"X-Forwarded-For: 10.{who >> 16 & 255}.{who >> 8 & 255}.{who & 255}",
        "X-Forwarded-Proto: http",
        f"X-Request-Id: {number:032x}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body

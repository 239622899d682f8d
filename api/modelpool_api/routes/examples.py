"""Examples that the OpenAPI document shows."""

from __future__ import annotations

from typing import Any

_ID = "5x2abcde-0Zk3vH1mQx2c9TgYb7LwPA"

REQUEST_EXAMPLES: dict[str, Any] = {
    "image": {
        "summary": "An image from words",
        "value": {"model": "sdxl", "prompt": "a red circle on the left on a blue background", "seed": 7},
    },
    "style": {
        "summary": "In one of the model's styles",
        "value": {"model": "sdxl", "prompt": "a cat", "style": "anime"},
    },
    "edit": {
        "summary": "An image from an earlier one",
        "value": {"model": "sdxl", "prompt": "the same in snow", "image": {"job": _ID}, "strength": 0.5},
    },
    "video": {
        "summary": "A video from an earlier image",
        "value": {"model": "svd", "image": {"job": _ID}, "frames": 14, "fps": 7},
    },
}

JOB_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "state": "queued",
    "pool": "default/studio",
    "model": "sdxl",
    "task": "TextToImage",
    "lane": "anonymous",
    "seq": 1,
    "position": 3,
    "eta": {"seconds": 12.5, "text": "about 12 s"},
    "createdAt": "2026-01-31T12:00:00.000Z",
    "cached": False,
    "attempts": 0,
    "links": {
        "self": f"/v1/jobs/{_ID}",
        "events": f"/v1/jobs/{_ID}/events",
        "ws": f"/v1/jobs/{_ID}/ws",
        "cancel": f"/v1/jobs/{_ID}",
    },
}

FINGERPRINT_PARAMETER: dict[str, Any] = {
    "name": "Modelpool-Fingerprint",
    "in": "header",
    "schema": {"type": "string", "examples": ["d41d8cd98f00b204e9800998ecf8427e"]},
    "description": "What a browser looks like, hashed by the page: 16 to 128 letters, digits, `-` or `_`. Without it, or "
    "with another form, or without the cookie, a request shares the smaller allowance of its network.",
}

SOLUTION_PARAMETER: dict[str, Any] = {
    "name": "Modelpool-Solution",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The solution of a challenge, as ALTCHA's widget gives it: the challenge and its solution as JSON, in "
    "base64, at most 4,096 characters. Good for one request.",
}

KEY_OR_NOTHING: list[dict[str, list[str]]] = [{}, {"key": []}]
"""Of a route that everybody may call, and that a key does more for."""
SECURITY_SCHEMES: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of an account or an issued one, or a token of the OpenID provider named by the operator.",
    },
    "adminToken": {"type": "http", "scheme": "bearer", "description": "Opens the admin API."},
}

JOB_LINKS: dict[str, Any] = {
    name: {"operationId": f"jobs_{name}", "parameters": {"id": "$response.body#/id"}}
    for name in ("read", "events", "cancel")
}

QUOTA_EXAMPLE: dict[str, Any] = {
    "lane": "anonymous",
    "ceiling": "visitor",
    "limit": 50,
    "remaining": 38,
    "resetsAt": "2026-02-01T00:00:00.000Z",
    "resetSeconds": 43200,
}

ACCOUNT_EXAMPLE: dict[str, Any] = {
    "id": "5f1e0c9a7be2",
    "key": "mp_5f1e0c9a7be2_…",
    "lane": "account",
    "plan": "account",
    "limit": 100,
    "remaining": 88,
}

"""Who may take how much of the installation that scenarios share: everybody enough, and one key little."""

import json
from typing import Any

from cluster.kubectl import Object

KEY = "a-key-with-little-to-spend"
PER_KEY = 30
PER_COOKIE = 5_000
SECRET = "front-door"
_FIRST = "the-text-that-signs-cookies"
_NO_WAIT = {"perSecond": 100_000, "burst": 100_000}


def front_door_values() -> dict[str, Any]:
    """The chart's values for the API."""
    return {
        "admission": {
            "profile": "local",
            "identity": {"cookie": {"secure": False}},
            "anonymous": {"cookie": PER_COOKIE},
            "plans": {"small": {"lane": "account", "perDay": PER_KEY, "burst": _NO_WAIT}},
        },
        "apiKeys": {"existingSecret": SECRET, "key": "keys.yaml"},
        "subjectSecret": {"existingSecret": SECRET, "key": "subjectSecret"},
    }


def front_door_secret(newer: str = "") -> Object:
    """The Secret that they name; ``newer`` stands before the text that signed cookies so far."""
    keys = {"keys": [{"name": "crowd", "key": KEY, "lane": "account", "plan": "small"}]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": {"keys.yaml": json.dumps(keys), "subjectSecret": newer + _FIRST},
    }

"""Where an admission document comes from: a YAML file, or a built-in one of that name.

``public`` is the defaults of :mod:`modelpool_api.policy`; ``local`` is for a machine of one's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from modelpool.errors import InvalidInput
from modelpool_api.policy import AdmissionPolicy

PROFILES = ("public", "local")

_MUCH = 10**9
_NO_WAIT: dict[str, Any] = {"perSecond": 1e5, "burst": 10**5}
_LOCAL: dict[str, Any] = {
    "profile": "local",
    "anonymous": {
        "cookie": _MUCH,
        "fingerprintAndPrefix": _MUCH,
        "prefixWithoutSignals": _MUCH,
        "prefix": _MUCH,
        "site": _MUCH,
        "burst": _NO_WAIT,
    },
    "plans": {
        "account": {"lane": "account", "perDay": _MUCH, "burst": _NO_WAIT},
        "paid": {"lane": "paid", "perDay": _MUCH, "burst": _NO_WAIT},
    },
    "accounts": {"perIdentity": 1000, "perPrefix": 1000, "perSite": 1000},
    "overload": {"account": None, "anonymous": None},
    "behaviour": {"mode": "off"},
}


def parse_policy(document: object) -> AdmissionPolicy:
    """The policy that a parsed YAML document says; what it leaves away comes from its profile.

    :raises InvalidInput: naming the field.
    """
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise InvalidInput("must be an object such as {profile: public}", param="admission")
    base = _LOCAL if document.get("profile") == "local" else {}
    try:
        return AdmissionPolicy.model_validate(_merged(base, document))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidInput(f"{where}: {message}" if where else message, param="admission") from None


def read_policy(source: str) -> AdmissionPolicy:
    """``public``, ``local``, or the policy of a YAML file.

    :raises InvalidInput: no such file, no YAML, or a field that cannot work.
    """
    if source in PROFILES:
        return parse_policy({"profile": source})
    try:
        document = yaml.safe_load(Path(source).read_text())
    except OSError as error:
        raise InvalidInput(
            f"the admission file {source} cannot be read: {error.strerror}; give a file, or one of {', '.join(PROFILES)}",
            param="admission",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InvalidInput(f"the admission file {source} is no YAML", param="admission") from None
    try:
        return parse_policy(document)
    except InvalidInput as error:
        raise InvalidInput(f"the admission file {source}: {error.message}", param="admission") from None


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``, section by section."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged

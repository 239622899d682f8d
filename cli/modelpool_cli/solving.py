"""Solving the challenge that an API may answer with (ALTCHA), where the API's libraries are installed."""

from __future__ import annotations

from importlib.util import find_spec

from modelpool_cli.http_client import httpx

LONGEST_SECONDS = 60.0
HIGHEST_COST = 1_000_000
"""Rounds of one try: a server may ask for work, not for an afternoon."""


def solution_of(answer: httpx.Response) -> str | None:
    """The solution of the answer's challenge; None without one, and where it cannot be solved here."""
    if answer.is_success or find_spec("altcha") is None:
        return None
    try:
        given = answer.json().get("challenge")
        if given is None:
            return None
        import altcha  # of the API's libraries, for those who are challenged

        challenge = altcha.Challenge.from_dict(given)
        if challenge.parameters.cost > HIGHEST_COST:
            return None
        found = altcha.solve_challenge(challenge, timeout=LONGEST_SECONDS)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return altcha.Payload(challenge, found).to_base64() if found is not None else None

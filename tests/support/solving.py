"""Solving challenges, as a page does."""

from __future__ import annotations

from typing import Any

import altcha
import httpx

from support.visitors import Visitor

HEADER = "Modelpool-Solution"


def solve(challenge: dict[str, Any]) -> str:
    """The solution as ALTCHA's widget sends it."""
    given = altcha.Challenge.from_dict(challenge)
    found = altcha.solve_challenge(given)
    assert found is not None
    return altcha.Payload(given, found).to_base64()


async def ask_solving(visitor: Visitor, **fields: Any) -> httpx.Response:
    """Ask for a picture; where the answer wants a challenge solved, solve it and ask once more."""
    answer = await visitor.ask(**fields)
    challenge = answer.json().get("challenge") if answer.is_error else None
    return await visitor.ask(headers={HEADER: solve(challenge)}, **fields) if challenge else answer

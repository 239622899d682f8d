"""What may open the admin API. Pure."""

from __future__ import annotations

from modelpool.errors import InvalidInput

SHORTEST = 24
_LETTERS = 8


def checked_admin_token(text: str) -> str:
    """The token without blanks and line ends around it; "" when there is none, which switches the admin API off.

    :raises InvalidInput: one that can be guessed, or not be sent in a header; the message does not repeat it.
    """
    token = text.strip()
    if not token:
        return ""
    sendable = token.isascii() and token.isprintable() and " " not in token
    if not sendable or len(token) < SHORTEST or len(set(token)) < _LETTERS:
        raise InvalidInput(
            f"the admin token needs at least {SHORTEST} characters without blanks, of which {_LETTERS} differ; "
            "make one with: openssl rand -hex 32",
            param="adminToken",
        )
    return token

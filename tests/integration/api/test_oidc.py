"""Tokens of an OpenID provider at the API's door, with the provider's keys fetched over HTTP."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from support.running_api import published
from support.visitors import Door, Visitor, door_settings, open_door

ISSUER = "https://id.example"


@pytest.fixture(scope="module")
def key() -> RSAKey:
    """Of the provider; it takes a moment to make."""
    return RSAKey.generate_key(2048, parameters={"kid": "one"})


@contextmanager
def serving(document: object) -> Iterator[str]:
    """A loopback address that answers with ``document``."""
    body = json.dumps(document).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path, key: RSAKey) -> AsyncIterator[Door]:
    with serving({"keys": [key.as_dict(private=False)]}) as url:
        oidc = f"{{issuer: '{ISSUER}', audience: modelpool, jwksUrl: '{url}', planClaim: tier}}"
        document = f"""
identity: {{oidc: {oidc}}}
plans:
  account: {{perDay: 3, burst: {{perSecond: 1000, burst: 1000}}}}
  gold: {{lane: paid, perDay: 7}}
"""
        async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, document)) as door:
            yield door


def token(key: RSAKey, **claims: Any) -> str:
    said = {"iss": ISSUER, "aud": "modelpool", "sub": "somebody", "exp": int(time.time()) + 300, **claims}
    return jwt.encode({"alg": "RS256", "kid": "one"}, said, key)


async def test_a_token_brings_the_lane_and_the_allowance_of_its_plan(door: Door, key: RSAKey) -> None:
    holder = Visitor(door, key=token(key))
    assert await holder.admitted(5) == 3
    # The same person with a new token, and somebody else.
    assert await Visitor(door, key=token(key, jti="another")).remaining() == 0
    assert await Visitor(door, key=token(key, sub="somebody else")).remaining() == 3
    gold = Visitor(door, key=token(key, sub="the third", tier="gold"))
    assert (await gold.ask()).json()["lane"] == "paid"
    assert await gold.remaining() == 6


async def test_a_token_that_is_not_good_is_refused_and_never_taken_for_nobody(door: Door, key: RSAKey) -> None:
    stranger = RSAKey.generate_key(2048, parameters={"kid": "one"})
    odd = ".".join([urlsafe_b64encode(b'{"alg":"RS256","kid":"one","crit":5}').rstrip(b"=").decode(), "e30", "AA"])
    for bad in (token(key, exp=1), token(key, aud="others"), token(stranger), "a.b.c", odd):
        answer = await Visitor(door, key=bad).ask()
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert bad not in answer.text

"""An OpenID provider: its keys at a loopback address, and tokens, good and bad."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER = "https://id.example"
AUDIENCE = "modelpool"


def new_key(kid: str = "one") -> ECKey:
    """A key to sign with."""
    return ECKey.generate_key("P-256", parameters={"kid": kid})


def part(content: object) -> str:
    """One part of a token: JSON, or bytes as they are."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """What a token says of somebody."""
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": int(time.time()) + 300, **changes}


@dataclass(frozen=True)
class Provider:
    """Who gives tokens out. ``url`` is where its keys are."""

    key: ECKey
    url: str

    def token(self, *, signed_by: ECKey | None = None, **changes: Any) -> str:
        """A token for somebody, with other claims if wanted."""
        return jwt.encode({"alg": "ES256", "kid": "one"}, claims(**changes), signed_by or self.key)

    def unsigned(self, **changes: Any) -> str:
        """A token that says it needs no signature."""
        return f"{part({'alg': 'none', 'kid': 'one'})}.{part(claims(**changes))}."

    def signed_with_what_is_public(self, **changes: Any) -> str:
        """A token signed by HMAC with the provider's public key, which everybody knows, as the secret."""
        text = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims(**changes))}"
        return f"{text}.{part(hmac.digest(self.key.as_pem(private=False), text.encode(), 'sha256'))}"

    @property
    def admission(self) -> str:
        """The entry of the admission document's ``identity``."""
        return f"oidc: {{issuer: '{ISSUER}', audience: {AUDIENCE}, jwksUrl: '{self.url}', planClaim: tier}}"


@contextmanager
def openid_provider() -> Iterator[Provider]:
    """A provider whose keys are served as long as the block lasts."""
    key = new_key()
    body = json.dumps({"keys": [key.as_dict(private=False)]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Provider(key, f"http://127.0.0.1:{server.server_port}/keys")
        finally:
            server.shutdown()
            thread.join()

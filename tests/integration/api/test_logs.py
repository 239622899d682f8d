"""Nothing secret and nobody's name in the logs, at the most talkative level: a run with all of it, and a search."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from websockets.asyncio.client import connect as connect_socket

from support import RedisProcess, bundled_redis, unused_port, wait_until
from support.pictures import picture
from support.running_api import KEYS, PAID_KEY, published
from support.solving import HEADER, solve

ADDRESS = "203.0.113.9"
FINGERPRINT = "a-fingerprint-of-somebody"
WORDS = "words that are nobody else's affair"
PASSWORD, SECRET, ADMIN = "the-password-of-redis", "the-subject-secret-of-the-test", "the-admin-token-of-the-test"
ADMISSION = """
profile: local
identity: {trustedProxies: [127.0.0.0/8]}
behaviour: {mode: enforce, answer: challenge, rapidPerMinute: 3}
challenge: {cost: 1}
"""


class Visit:
    """Everything that a client may send, and what of it is a secret."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.secrets: set[str] = {ADDRESS, FINGERPRINT, WORDS, PASSWORD, SECRET, ADMIN, PAID_KEY}

    async def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"X-Forwarded-For": ADDRESS, "Modelpool-Fingerprint": FINGERPRINT, **request.pop("headers", {})}
        answer = await self.http.request(method, path, headers=headers, **request)
        self.secrets |= {cookie.partition(".")[2].partition(".")[0] for cookie in self.http.cookies.values()}
        return answer

    async def ask(self, **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", {})
        body = {"model": "shapes", "prompt": WORDS, **fields}
        answer = await self.call("POST", "/v1/jobs", json=body, headers=headers)
        if answer.is_success:
            self.secrets.add(answer.json()["id"])
        return answer

    async def play(self, port: int) -> None:
        """One of each."""
        first = (await self.ask(headers={"Idempotency-Key": "the-idempotency-key-of-somebody"})).json()
        self.secrets.add("the-idempotency-key-of-somebody")
        async with connect_socket(
            f"ws://127.0.0.1:{port}{first['links']['ws']}", additional_headers={"X-Forwarded-For": ADDRESS}
        ) as socket:
            await socket.recv()
        await self.call("GET", f"{first['links']['self']}?wait=0")
        await self.call("GET", first["links"]["events"].replace(first["id"], first["id"] + "x"))
        await self.call("DELETE", first["links"]["self"])
        await self.call("GET", "/v1/results/the-name-of-a-result.png")
        self.secrets.add("the-name-of-a-result")
        image = base64.b64encode(picture()).decode()
        self.secrets.add(image[:40])
        await self.ask(image={"base64": image})
        await self.ask(width=WORDS, unknown=WORDS)
        await self.call("POST", "/v1/jobs", data={"model": "shapes", "prompt": WORDS}, files={"image": picture()})
        await self.call("POST", "/v1/jobs", content=b'{"prompt": "' + WORDS.encode())
        refused = await self.ask(seed=1)
        solution = solve(refused.json()["challenge"])
        self.secrets |= {solution, refused.json()["challenge"]["signature"]}
        assert (await self.ask(seed=1, headers={HEADER: solution})).status_code == 202
        account = (await self.call("POST", "/v1/accounts")).json()["key"]
        office = {"Authorization": f"Bearer {ADMIN}"}
        made = (await self.call("POST", "/v1/admin/keys", json={"name": "studio"}, headers=office)).json()
        turned = (await self.call("POST", f"/v1/admin/keys/{made['id']}/rotate", headers=office)).json()
        for key in (
            account,
            made["key"],
            turned["key"],
            PAID_KEY,
            "a-key-that-nobody-has-issued",
            "a.to.ken-of-nobody",
        ):
            self.secrets.add(key)
            await self.ask(headers={"Authorization": f"Bearer {key}"})
        await self.call("DELETE", f"/v1/admin/keys/{made['id']}", headers=office)
        await self.call("GET", f"/absent?prompt={WORDS}")
        await self.call("GET", "/metrics")


@pytest.mark.parametrize("access", ["--access-log", "--no-access-log"])
async def test_no_secret_and_nobody_is_in_the_logs_of_a_run(tmp_path: Path, access: str) -> None:
    (tmp_path / "keys.yaml").write_text(KEYS)
    (tmp_path / "admission.yaml").write_text(ADMISSION)
    port, path = unused_port(), tmp_path / "api.log"
    with RedisProcess(bundled_redis(), tmp_path / "redis") as server:
        redis.Redis(port=server.port).config_set("requirepass", PASSWORD)
        url = server.url.replace("redis://", f"redis://:{PASSWORD}@")
        variables = {"REDIS_URL": url, "SUBJECT_SECRET": SECRET, "ADMIN_TOKEN": ADMIN, "LOG_LEVEL": "debug"}
        with path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "modelpool_api",
                    "--port",
                    str(port),
                    "--store-url",
                    f"file://{tmp_path}/store",
                ),
                *("--api-keys", str(tmp_path / "keys.yaml"), "--admission", str(tmp_path / "admission.yaml"), access),
                env={**os.environ, **{f"MODELPOOL_{name}": value for name, value in variables.items()}},
                stdout=log,
                stderr=log,
            )
            try:
                async with (
                    published(url),
                    httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
                ):

                    async def ready() -> bool:
                        try:
                            return (await http.get("/readyz")).is_success
                        except httpx.TransportError:
                            return False

                    await wait_until(ready)
                    visit = Visit(http)
                    await visit.play(port)
                    server.kill()
                    assert (await visit.ask()).status_code == 503
                process.terminate()
                await process.wait()
                server.start()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    text = path.read_text()
    assert len(text.splitlines()) > 10
    assert ("POST /v1/jobs" in text) is (access == "--access-log")
    for secret in visit.secrets - {""}:
        assert secret not in text, secret
    # Of clients' own addresses neither; ours, and Redis's, may be there.
    assert not [
        address for address in re.findall(r"127\.0\.0\.1:\d+", text) if int(address[10:]) not in (port, server.port)
    ]

"""The API keeps what its OpenAPI document promises, whatever it is sent: schemathesis, every check, every phase.

A few hundred requests, the same each time; `make fuzz-api` makes up others, and more.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelpool.tasks import end
from support import unused_port
from support.fuzzing import EXAMPLES, fuzz
from support.running_api import KEYS, Api, heartbeat, published, ready, served_api
from support.visitors import ADMIN, door_settings

# One client that sends hundreds of requests a second is unusual by intent: only that pattern is switched off.
ADMISSION = "{profile: local, behaviour: {mode: enforce, answer: challenge, rapidPerMinute: null, identicalPerHour: 30}, challenge: {cost: 1}}"


async def keep_beating(api: Api) -> None:
    """The worker stays alive however long it takes."""
    while True:
        await api.board.beat(heartbeat())
        await asyncio.sleep(2)


@pytest.mark.slow
@pytest.mark.timeout(120 + 20 * EXAMPLES)
async def test_the_api_keeps_what_its_document_promises(
    redis_url_any: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(KEYS)
    settings = replace(
        door_settings(redis_url_any, tmp_path, ADMISSION), port=unused_port(), api_keys_file=str(keys), reap_seconds=0.1
    )
    async with published(redis_url_any) as (redis, board), served_api(settings) as (context, http):
        api = await ready(context, http, redis, board)
        api.worker.patience = 3600
        beating = asyncio.create_task(keep_beating(api))
        async with api.worker.work():
            done = await api.http.post(
                "/v1/jobs", json={"model": "shapes", "prompt": "x"}, headers={"Prefer": "wait=20"}
            )
            name = done.json()["result"]["url"].rpartition("/")[2]
            found = await fuzz(str(http.base_url).rstrip("/"), tmp_path, admin_token=ADMIN, result=name)
        await end(beating)
    with capsys.disabled():
        sys.stdout.write(f"\n{found}\n")
    assert found.failures == 0, found.output
    assert found.phases == dict.fromkeys(("examples", "coverage", "fuzzing", "stateful"), "success"), found.output
    assert found.operations[0] == found.operations[1]
    assert found.cases >= 500

"""`modelpool keys` against a running API."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from support import unused_port
from support.running_api import published, served_api
from support.visitors import ADMIN, door_settings


async def test_keys_are_issued_listed_rotated_used_and_revoked(redis_url_any: str, tmp_path: Path) -> None:
    settings = replace(door_settings(redis_url_any, tmp_path, "profile: local"), port=unused_port())
    state = tmp_path / "state"
    state.mkdir()
    (state / "admin-token").write_text(ADMIN)

    async def keys(*arguments: str, **given: str) -> tuple[int, str, str]:
        command = [
            sys.executable,
            "-m",
            "modelpool_cli",
            "keys",
            *arguments,
            "--url",
            f"http://127.0.0.1:{settings.port}",
        ]
        token = given.get("token", f"--state={state}")
        done = await asyncio.create_subprocess_exec(
            *command, token, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
        )
        out, err = await done.communicate()
        return done.returncode or 0, out.decode(), err.decode()

    async with published(redis_url_any), served_api(settings) as (_, http):
        code, out, _ = await keys("create", "studio", "--json")
        made = json.loads(out)
        assert code == 0
        body = {"model": "shapes", "prompt": "x"}
        answer = await http.post("/v1/jobs", json=body, headers={"Authorization": f"Bearer {made['key']}"})
        assert answer.json()["lane"] == "paid"
        assert f"{made['id']}  paid" in (await keys("list"))[1]
        assert "1 of 1000000000 units today, plan paid" in (await keys("usage", made["id"]))[1]
        assert "shown only now" in (await keys("rotate", made["id"], "--grace", "0"))[1]
        assert (await keys("revoke", made["id"]))[1] == f"{made['id']} revoked\n"
        code, _, err = await keys("usage", made["id"])
        assert (code, "there is no key" in err) == (4, True)
        code, _, err = await keys("list", token="--admin-token=nope")
        assert "not the admin token" in err
        assert "Traceback" not in err

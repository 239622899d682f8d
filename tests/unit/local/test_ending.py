from __future__ import annotations

import asyncio

from modelpool_local.ending import end_in_order


async def test_a_step_that_fails_is_told_and_keeps_no_other_from_being_taken() -> None:
    done: list[str] = []
    told: list[str] = []

    async def well(name: str) -> None:
        await asyncio.sleep(0)
        done.append(name)

    async def badly() -> None:
        raise ConnectionError("it hung up")

    await end_in_order(
        [("the operator", lambda: well("operator")), ("the API", badly), ("Redis", lambda: well("redis"))], told.append
    )
    assert done == ["operator", "redis"]
    assert told == ["the API did not end in good order: ConnectionError('it hung up')"]

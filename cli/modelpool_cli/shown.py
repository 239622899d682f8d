"""`modelpool models` and `modelpool status`: tables of what there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from modelpool_local.exits import CommandFailed, Exit


def print_models(models: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A row for every model on offer."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    several = len({model["pool"] for model in models}) > 1
    # People copy names: those stay whole, and the rest of a narrow terminal wraps.
    table.add_column("model", no_wrap=True)
    if several:
        table.add_column("pool", overflow="fold")
    table.add_column("tasks", no_wrap=True)
    for name in ("state", "slots", "queued", "ETA"):
        table.add_column(name, min_width=len(name), overflow="fold")
    for model in models:
        table.add_row(
            model["id"],
            *([model["pool"]] if several else []),
            "\n".join(model["tasks"]),
            model["state"],
            str(model["replicas"]),
            str(model["queued"]),
            model["eta"]["text"],
        )
    console.print(table)


def print_status(redis_url: str, console: Console) -> None:
    """The slots and models of every pool, read from Redis, as `modelpool up` shows them.

    :raises CommandFailed: no such URL, Redis does not answer, or no operator has ever spoken there.
    """
    from modelpool.errors import InvalidInput, ModelpoolError

    try:
        asyncio.run(_print_status(redis_url, console))
    except InvalidInput as error:
        raise CommandFailed(Exit.USAGE, error.message) from None
    except ModelpoolError as error:
        raise CommandFailed(Exit.UNREACHABLE, f"{error}; is `modelpool up` running?") from None


async def _print_status(redis_url: str, console: Console) -> None:
    from modelpool.board import Board
    from modelpool.documents import POOLS_KEY
    from modelpool.queue.connection import connect
    from modelpool.queue.redis import RedisQueue
    from modelpool.resources.pool import PoolRef
    from modelpool.slots import ObservedSlot
    from modelpool_local.table import View, render

    client = await connect(redis_url, max_connections=2)
    try:
        names = [str(name) for name in (await client.hgetall(POOLS_KEY)).values()]
        if not names:
            raise CommandFailed(Exit.UNREACHABLE, "no pool is known there: no operator has spoken yet")
        for pool in (PoolRef.parse(name) for name in sorted(names)):
            board = Board(pool, client)
            catalog = await board.catalog()
            if catalog is None:
                continue
            status = await board.status()
            slots = {
                gpu.slot: ObservedSlot(
                    slot=gpu.slot, tier=gpu.tier, phase=gpu.phase, reason=gpu.reason, since=gpu.since
                )
                for gpu in (status.gpus if status else ())
            }
            heartbeats = await board.heartbeats([slot.slot for slot in catalog.slots])
            depths = await RedisQueue(pool, client).depths()
            console.print(render(View(catalog, int(time.time() * 1000), slots, heartbeats, depths, status)))
            for condition in status.conditions if status else ():
                console.print(
                    f"{condition.type}: {condition.status} ({condition.message})", markup=False, highlight=False
                )
    finally:
        await client.aclose()

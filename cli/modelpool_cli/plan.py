"""`modelpool plan`: what the planner would do now, worked out from what the operator sees. It only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.documents import Catalog, Heartbeat
from modelpool.errors import InvalidInput, InvalidSpec, ModelpoolError, Unavailable
from modelpool.queue.connection import connect, unavailable
from modelpool.queue.redis import RedisQueue
from modelpool.resources.catalog import pool_ref, slots_of
from modelpool.resources.load import load_pool, read_pool
from modelpool.resources.pool import PoolRef
from modelpool.resources.spec import ModelPool
from modelpool.resources.status import ModelPoolStatus
from modelpool.slots import ObservedSlot
from modelpool_cli.planned import (
    HELD_COLUMNS,
    SLOT_COLUMNS,
    Outlook,
    document,
    headline,
    held_rows,
    leaver_lines,
    miss_lines,
    slot_rows,
)
from modelpool_cli.queue.shown import Shown
from modelpool_local.exits import CommandFailed, Exit
from modelpool_local.state import ANNOUNCEMENT, redis_url_of
from modelpool_operator.cluster.port import MODEL_POOL, ApiNotFound, Cluster
from modelpool_operator.demand.counters import CounterDemand
from modelpool_operator.history import LAST_RETRY_SECONDS, History
from modelpool_operator.observe import Observation, snapshot_of
from modelpool_operator.planner import Snapshot, plan

CONNECTIONS = 4
USUAL_STATE = Path(".modelpool")
SILENT_MS = 60_000
"""An operator says something at least every ``rebalance.intervalSeconds``; after three of those, or this, it is gone."""
COLD = "This is a cold start: a worker in every slot, nothing loaded, no demand."


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What was asked on the command line."""

    pool_file: Path | None = None
    pool: str | None = None
    redis_url: str | None = None
    state: Path | None = None
    context: str | None = None
    kubeconfig: str | None = None
    namespace: str | None = None


def run_plan(options: PlanOptions, as_json: bool) -> None:
    """Look, plan, print.

    :raises CommandFailed: with one line for whatever could not be done.
    """
    try:
        outlook = asyncio.run(_look(options))
    except InvalidSpec as error:
        raise CommandFailed(Exit.INVALID_SPEC, error.message) from None
    except InvalidInput as error:
        raise CommandFailed(Exit.USAGE, error.message) from None
    except Unavailable as error:
        raise CommandFailed(Exit.UNREACHABLE, error.message) from None
    except ModelpoolError as error:
        raise CommandFailed(Exit.REFUSED, error.message) from None
    show(outlook, Shown(as_json))


def show(outlook: Outlook, shown: Shown) -> None:
    """Print the tables, or the document."""
    if shown.as_json:
        shown.json(document(outlook))
        return
    for line in (*outlook.notes, headline(outlook), *leaver_lines(outlook), *miss_lines(outlook)):
        shown.say(line)
    shown.table(SLOT_COLUMNS, slot_rows(outlook), whole=("slot",))
    if held := held_rows(outlook):
        shown.say("Held back:")
        shown.table(HELD_COLUMNS, held, whole=("slot", "gate"))


async def _look(options: PlanOptions) -> Outlook:
    pool, notes = await _pool(options)
    url = _redis_url(options)
    if url is None:
        return cold_start(pool, (*notes, _without_redis(options)))
    client = await connect(url, max_connections=CONNECTIONS)
    try:
        return await outlook_of(pool, client, notes)
    finally:
        await client.aclose()


# --- which pool ---------------------------------------------------------------------------------------------------


async def _pool(options: PlanOptions) -> tuple[ModelPool, tuple[str, ...]]:
    """The pool, and what has to be said of where it is from."""
    if options.pool_file is not None and options.pool is not None:
        raise InvalidInput("the pool is that of -f; --pool chooses among those of --context")
    pool = _of_file(options.pool_file, options.namespace) if options.pool_file is not None else None
    if options.context is None:
        if pool is None:
            raise InvalidInput("which pool? give -f FILE, or --context CONTEXT for a ModelPool of a cluster")
        return pool, ()
    from modelpool_operator.cluster.api_server import ApiServer, access  # slow to import, seldom needed

    cluster = ApiServer(await access(options.kubeconfig, options.context))
    try:
        if pool is None:
            return await pool_of(cluster, options.namespace, options.pool), ()
        return pool, await compared(cluster, pool)
    finally:
        await cluster.close()


def _of_file(path: Path, namespace: str | None) -> ModelPool:
    """The pool of the file, in the namespace that it would be applied to."""
    pool = load_pool(path)
    if namespace is None:
        return pool
    return pool.model_copy(update={"metadata": pool.metadata.model_copy(update={"namespace": namespace})})


async def pool_of(cluster: Cluster, namespace: str | None, name: str | None) -> ModelPool:
    """The ModelPool of a cluster, by name where there are several.

    :raises InvalidInput: there is none, or it is not clear which one is meant.
    :raises InvalidSpec: it cannot work.
    :raises Unavailable: the API server does not answer.
    """
    try:
        found = (await cluster.list(MODEL_POOL, namespace)).items
    except ApiNotFound:
        raise InvalidInput(
            "the cluster knows no ModelPools: install modelpool there, or give another --context"
        ) from None
    there = {PoolRef(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in found}
    names = ", ".join(map(str, there)) or "none"
    chosen = [ref for ref in there if name in (None, ref.name, str(ref))]
    if len(chosen) != 1:
        asked = (
            f"no pool {name}"
            if name is not None and not chosen
            else "not one pool but several"
            if chosen
            else "no pool"
        )
        raise InvalidInput(f"there is {asked} in {namespace or 'the cluster'}; name one with --pool; there: {names}")
    return read_pool(there[chosen[0]], str(chosen[0]))


async def compared(cluster: Cluster, pool: ModelPool) -> tuple[str, ...]:
    """What has to be said of a file beside the pool of that name in the cluster."""
    ref = pool_ref(pool)
    found = await cluster.get(MODEL_POOL, ref.namespace, ref.name)
    if found is None:
        return (f"The cluster has no ModelPool {ref}: this is the plan once the file is applied.",)
    try:
        same = read_pool(found, str(ref)).spec == pool.spec
    except InvalidSpec:
        same = False
    return () if same else (f"The file is not what the cluster has as {ref}: this is the plan once it is applied.",)


# --- which Redis --------------------------------------------------------------------------------------------------


def _redis_url(options: PlanOptions) -> str | None:
    if options.redis_url is not None:
        return options.redis_url
    if options.state is not None:
        return redis_url_of(options.state)
    # The Redis of this machine is not that of a cluster.
    if options.context is not None or not (USUAL_STATE / ANNOUNCEMENT).exists():
        return None
    return redis_url_of(USUAL_STATE)


def _without_redis(options: PlanOptions) -> str:
    if options.context is not None:
        return f"No --redis-url, which `kubectl port-forward` can give you: nobody says what the slots hold. {COLD}"
    return f"No --redis-url, and no `modelpool up` runs with the state folder {USUAL_STATE}. {COLD}"


# --- what is there ------------------------------------------------------------------------------------------------


def cold_start(pool: ModelPool, notes: tuple[str, ...] = ()) -> Outlook:
    """The first plan of a pool whose workers have all come up, with nothing loaded."""
    slots = [slot.slot for tier in pool.spec.tiers for slot in slots_of(pool, tier)]
    heartbeats = {slot: Heartbeat(slot=slot, worker=slot, pid=0) for slot in slots}
    snapshot = snapshot_of(pool, Observation(now=0, heartbeats=heartbeats), History())
    return Outlook(str(pool_ref(pool)), snapshot, plan(snapshot), demand="", cold=True, notes=notes)


async def outlook_of(pool: ModelPool, client: Redis, notes: tuple[str, ...] = ()) -> Outlook:
    """The plan of an operator that looks for the first time, with its own eyes and Redis's clock.

    :raises QueueUnavailable: Redis is away.
    """
    ref = pool_ref(pool)
    board, queue = Board(ref, client), RedisQueue(ref, client)
    slots = [slot.slot for tier in pool.spec.tiers for slot in slots_of(pool, tier)]
    with unavailable():
        seconds, microseconds = await client.time()
    now = int(seconds) * 1000 + int(microseconds) // 1000
    catalog, status = await board.catalog(), await board.status()
    heartbeats, assignments = await board.heartbeats(slots), await board.assignments(slots)
    if catalog is None and not heartbeats and not assignments:
        return cold_start(pool, (*notes, f"That Redis does not know pool {ref}: no operator has kept it. {COLD}"))
    fresh = status if status is not None and not _silent(status, pool, now) else None
    demand = await CounterDemand(queue).read(now, pool.spec.rebalance.window_seconds)
    seen = Observation(now, heartbeats, assignments, await queue.depths(), demand, _runtime(fresh))
    snapshot = snapshot_of(pool, seen, History())
    said = (*notes, *_caveats(fresh, snapshot))
    return Outlook(str(ref), snapshot, plan(snapshot), demand.source, leaving=_leavers(catalog, slots), notes=said)


def _silent(status: ModelPoolStatus, pool: ModelPool, now: int) -> bool:
    return now - status.updated_at > max(SILENT_MS, 3000 * pool.spec.rebalance.interval_seconds)


def _runtime(status: ModelPoolStatus | None) -> Mapping[str, ObservedSlot]:
    """The runtime's word on each slot, as the operator passed it on."""
    gpus = status.gpus if status is not None else ()
    return {gpu.slot: ObservedSlot(slot=gpu.slot, tier=gpu.tier, phase=gpu.phase) for gpu in gpus}


def _leavers(catalog: Catalog | None, slots: list[str]) -> tuple[str, ...]:
    known = catalog.slots if catalog is not None else ()
    return tuple(slot.slot for slot in known if slot.slot not in slots)


def _caveats(status: ModelPoolStatus | None, snapshot: Snapshot) -> list[str]:
    """Where the running operator may know better, or there is none."""
    if status is None:
        return ["No operator speaks for this pool: nothing of this happens until one runs."]
    known = {failure.model for failure in snapshot.failed}
    return [
        f"{model.name} could not be loaded lately ({model.last_failure}); the operator may leave it alone for up to "
        f"{LAST_RETRY_SECONDS / 60:g} min, which only it knows."
        for model in status.models
        if model.last_failure is not None and model.name not in known
    ]

"""Starts Redis, API, operator and workers in order, keeps them alive, shows how they are, and ends them in order."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import httpx

from modelpool.resources.catalog import catalog_of, pool_ref
from modelpool.resources.spec import ModelPool
from modelpool_local import readiness
from modelpool_local.ending import end_in_order
from modelpool_local.exits import CommandFailed, Exit
from modelpool_local.fleet import Fleet
from modelpool_local.lookout import Lookout, connect_when_there
from modelpool_local.options import UpOptions
from modelpool_local.processes import Kept, Program
from modelpool_local.redis_server import RedisServer
from modelpool_local.screen import Screen
from modelpool_local.slots_server import SlotsServer
from modelpool_local.state import StateFolder
from modelpool_local.table import View
from modelpool_local.vigil import Watched, hangs, watch
from modelpool_local.workers import WorkerStarter

T = TypeVar("T")

LOOK_SECONDS = 0.5
CRASHES_BEFORE_GIVING_UP = 3
"""A part that has never worked and crashes this often in a row will not work the next time either."""
REDIS_SECONDS = 10.0
"""How long a Redis that somebody else runs may take to answer."""
STOP_SECONDS = 10.0
"""Grace of Redis, operator and API."""


class Supervisor:
    """One `modelpool up`, from the first process to the last."""

    def __init__(self, options: UpOptions, pool: ModelPool, state: StateFolder, screen: Screen) -> None:
        self._options = options
        self._pool = pool
        self._catalog = catalog_of(pool)
        self._state = state
        self._screen = screen
        self._stop = asyncio.Event()
        self._interrupts = 0
        self._ready = False
        self._complete = True
        self._told: set[tuple[str, str]] = set()
        self._watched: dict[str, Watched] = {}
        self._parts: dict[str, Kept] = {}
        self._redis_url = options.redis_url or ""
        if not self._redis_url:
            server = RedisServer(state.redis, state.socket("redis"), state.log("redis"))
            self._redis_url = server.url
            self._parts["redis"] = Kept("redis", server.start, screen.say, grace=STOP_SECONDS)
        self._lookout: Lookout | None = None
        self._store_url = options.store_url(state.store)
        self._starter = WorkerStarter(options, pool, self._redis_url, self._store_url, state)
        self._fleet = Fleet(
            str(pool_ref(pool)),
            self._starter.start,
            screen.say,
            gone=self._starter.forget,
            # The worker itself keeps to the grace period; a little more lets it say goodbye.
            grace=options.grace + 5,
        )
        self._slots = SlotsServer(state.socket("slots"), self._fleet.desire)

    async def run(self) -> int:
        """Until a signal comes. Returns the exit code.

        :raises CommandFailed: a part does not come up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._interrupt, number)
        started = time.monotonic()
        try:
            await self._start()
            if self._lookout is not None:
                await self._watch(self._lookout, started)
        finally:
            await self._end()
        return Exit.OK

    # --- start ----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._starter.prepare()
        if "redis" in self._parts:
            self._parts["redis"].begin()
        self._screen.say(f"starting pool {self._pool.metadata.name}; logs are in {self._state.logs}")
        patience = REDIS_SECONDS if self._options.redis_url else None
        connecting = connect_when_there(self._redis_url, patience, self._give_up_on_crashes)
        client = await self._unless_stopped(connecting)
        if client is None:
            return
        self._lookout = Lookout(self._catalog, client)
        if "redis" in self._parts:
            await self._lookout.take_over()
        await self._lookout.look_ahead()
        self._state.announce(self._options.url, self._redis_url)
        await self._slots.start()
        for name, arguments in self._programs().items():
            self._parts[name] = self._keep_program(name, arguments)
            self._parts[name].begin()

    def _programs(self) -> dict[str, list[str]]:
        options = self._options
        api = [
            *(sys.executable, "-m", "modelpool_api"),
            *("--host", options.host),
            *("--port", str(options.port)),
            *("--admission", options.admission_for(self._pool)),
        ]
        if options.api_keys is not None:
            api += ["--api-keys", str(options.api_keys.absolute())]
        operator = [
            *(sys.executable, "-m", "modelpool_operator", "local"),
            *("--pool-file", str(options.pool_file.absolute())),
            *("--runtime-socket", str(self._slots.path)),
        ]
        return {"operator": operator, "api": api}

    def _keep_program(self, name: str, arguments: list[str]) -> Kept:
        # An environment, because everybody on the machine can read a process's arguments.
        environment = {"MODELPOOL_REDIS_URL": self._redis_url, "MODELPOOL_STORE_URL": self._store_url}
        if name == "api":
            environment |= {
                "MODELPOOL_SUBJECT_SECRET": self._state.subject_secret(),
                "MODELPOOL_ADMIN_TOKEN": self._state.admin_token(),
            }

        async def start() -> Program:
            return await Program.start(arguments, self._state.log(name), environment=environment)

        return Kept(name, start, self._screen.say, grace=STOP_SECONDS)

    # --- watch ----------------------------------------------------------------------------------------------------

    async def _watch(self, lookout: Lookout, started: float) -> None:
        async with httpx.AsyncClient(base_url=self._options.url, timeout=2, trust_env=False) as http:
            while not self._stop.is_set():
                view = await lookout.look({slot.slot: slot for slot in self._fleet.observed().slots})
                self._tell_failures(view)
                self._put_down_hung_workers(view)
                if not self._ready:
                    self._give_up_on_crashes()
                    self._give_up_on_models(view)
                await self._tell_readiness(http, view, started)
                self._screen.show(view)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)

    async def _tell_readiness(self, http: httpx.AsyncClient, view: View, started: float) -> None:
        """Once when it serves, with what it has to do without; and once more when nothing is missing any longer."""
        missing = readiness.missing(self._catalog, view.heartbeats)
        if self._ready:
            if not self._complete and not missing:
                self._complete = True
                self._screen.say("what could not be loaded before is loaded now")
        elif await self._serves(http, view):
            self._ready, self._complete = True, not missing
            seconds = time.monotonic() - started
            without = ", ".join(f"{model} on {slot}" for slot, model in missing)
            self._screen.say(f"ready after {seconds:.1f} s{without and f', without {without}'}: {self._options.url}")

    async def _serves(self, http: httpx.AsyncClient, view: View) -> bool:
        if readiness.silent(self._catalog, view.heartbeats):
            return False
        if readiness.awaited(self._catalog, view.heartbeats, view.status):
            return False
        try:
            return (await http.get("/readyz")).is_success
        except httpx.HTTPError:
            return False

    def _put_down_hung_workers(self, view: View) -> None:
        now = time.monotonic()
        # Without Redis nobody is heard; afterwards everybody has his time anew.
        self._watched = {} if view.redis_away else watch(self._watched, view.slots, view.heartbeats, now)
        for slot, worker in self._watched.items():
            kept = self._fleet.workers.get(slot)
            if kept is not None and kept.pid == worker.pid and (why := hangs(worker, now)):
                kept.put_down(why)

    def _tell_failures(self, view: View) -> None:
        for failure, line in readiness.failures(view.heartbeats, view.status).items():
            if failure not in self._told:
                self._told.add(failure)
                self._screen.say(line)

    def _give_up_on_models(self, view: View) -> None:
        if failed := readiness.hopeless(self._catalog, view.heartbeats, view.status):
            model, why = min(failed.items())
            what = f"{model} cannot" if len(failed) == 1 else f"none of the {len(failed)} models can"
            raise CommandFailed(
                Exit.START_FAILED,
                f"there is nothing to serve: {what} be loaded ({why}); put the model's files right, or give the pool "
                f"another model in {self._options.pool_file}; see {self._state.logs}",
            )

    def _give_up_on_crashes(self) -> None:
        for name, kept in {**self._parts, **self._fleet.workers}.items():
            if kept.crashes_in_a_row >= CRASHES_BEFORE_GIVING_UP:
                log = self._state.log(name)
                raise CommandFailed(
                    Exit.START_FAILED,
                    f"{name} cannot be started: it {kept.reason.partition(';')[0]}"
                    f" {kept.crashes_in_a_row} times{_last_words(log.read_text(errors='replace'))}; see {log}",
                )

    # --- stop -----------------------------------------------------------------------------------------------------

    def _interrupt(self, number: signal.Signals) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._screen.say(f"{number.name}: draining; once more to end at once")
            self._stop.set()
        else:
            self._screen.say(f"{number.name}: ending at once")
            self._kill()

    async def _end(self) -> None:
        """Workers finish while API and Redis still serve them and those who wait for results."""
        steps = (
            ("the operator", lambda: self._stop_part("operator")),
            ("the operator's socket", self._slots.close),
            ("the workers", self._fleet.drain),
            ("the API", lambda: self._stop_part("api")),
            ("the connection to Redis", self._hang_up),
            ("Redis", lambda: self._stop_part("redis")),
        )
        await end_in_order(steps, self._screen.say)
        self._screen.say("stopped")

    async def _hang_up(self) -> None:
        if self._lookout is not None:
            await self._lookout.close()

    async def _stop_part(self, name: str) -> None:
        if name in self._parts:
            await self._parts[name].stop()

    def _kill(self) -> None:
        self._fleet.kill()
        for kept in self._parts.values():
            kept.kill()

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """``work``'s outcome, or None when a signal came first."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            task.cancel()
            stop.cancel()


def _last_words(log: str) -> str:
    """The last line that a process wrote, as part of a sentence."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return f", last saying {lines[-1][:200]!r}" if lines else ""

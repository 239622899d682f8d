"""`modelpool up`, from the command line's options to the exit code."""

from __future__ import annotations

import asyncio

from rich.console import Console

from modelpool_local import preflight
from modelpool_local.gpus import list_gpus
from modelpool_local.memory import available_bytes
from modelpool_local.options import UpOptions
from modelpool_local.screen import Screen
from modelpool_local.state import StateFolder
from modelpool_local.supervisor import Supervisor


def run_up(options: UpOptions, console: Console | None = None) -> int:
    """Check, start, serve until a signal, drain. Returns the exit code.

    :raises CommandFailed: what stands in the way.
    """
    console = console or Console()
    pool = preflight.read_pool(options.pool_file)
    if options.simulated is None:
        preflight.check_models(pool, options.models)
        preflight.check_gpus(pool, len(list_gpus()))
        preflight.check_memory(pool, available_bytes())
    else:
        preflight.check_timings(options.simulated)
    admission = options.admission_for(pool)
    preflight.check_admission(admission)
    if options.api_keys is not None:
        preflight.check_api_keys(options.api_keys, admission)
    if options.store is not None:
        preflight.check_store(options.store_url(options.state))
    preflight.check_port(options.host, options.port)
    with StateFolder(options.state) as state, Screen(console, live=options.table and console.is_terminal) as screen:

        async def supervise() -> int:
            return await Supervisor(options, pool, state, screen).run()

        return asyncio.run(supervise())

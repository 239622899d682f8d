"""The commands below `modelpool queue`, their options and their help. What they do is imported when they run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modelpool_local.exits import CommandFailed, Exit

if TYPE_CHECKING:
    from modelpool_cli.queue.places import Place
    from modelpool_cli.queue.shown import Shown

C = TypeVar("C", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
LANES = ("paid", "account", "anonymous")
STATES = ("queued", "following", "running", "succeeded", "failed", "cancelled", "expired")

_model = click.option("-m", "--model", help="Only jobs for this model.")
_lane = click.option("--lane", type=click.Choice(LANES), help="Only jobs of this lane.")
_subject = click.option("--subject", help="Only jobs of this subject.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.group()
def queue() -> None:
    """Look into the queue and act on it by hand.

    These commands speak to Redis itself, so they work while the API is away. Without --redis-url they find the Redis
    of the `modelpool up` that runs with the state folder.

    \b
    modelpool queue ls
    modelpool queue show ID
    modelpool queue check
    """


def _connected(command: C) -> C:
    """Add the options that say which queue, and --json."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--state", "folder", type=FOLDER, default=".modelpool", help="State folder of `modelpool up`."),
        click.option("--redis-url", envvar="MODELPOOL_REDIS_URL", help="The pool's Redis.  [default: that of --state]"),
        click.option("--pool", help="Only this pool: its name, or namespace/name.  [default: every pool there]"),
    ):
        command = option(command)
    return command


def _run(
    act: Callable[[Place, Shown], Coroutine[Any, Any, Exit]],
    *,
    pool: str | None,
    redis_url: str | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Connect, act, and end with the exit code of what came of it.

    :raises CommandFailed: with one line for whatever could not be done.
    """
    import asyncio

    from modelpool.errors import InvalidInput, ModelpoolError, Unavailable
    from modelpool_cli.queue.places import opened
    from modelpool_cli.queue.shown import Shown
    from modelpool_local.state import redis_url_of

    async def run() -> Exit:
        async with opened(redis_url or redis_url_of(folder), pool) as place:
            return await act(place, Shown(as_json))

    try:
        code = asyncio.run(run())
    except InvalidInput as error:
        raise CommandFailed(Exit.USAGE, error.message) from None
    except Unavailable as error:
        raise CommandFailed(Exit.UNREACHABLE, error.message) from None
    except ModelpoolError as error:
        raise CommandFailed(Exit.REFUSED, error.message) from None
    if code is not Exit.OK:
        raise SystemExit(int(code))


@queue.command()
@_model
@_lane
@_subject
@click.option("--in", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; may be repeated.")
@click.option("-a", "--all", "everything", is_flag=True, help="In every state, ended ones too.")
@click.option("-n", "--limit", type=click.IntRange(0), default=20, show_default=True, help="Jobs shown one by one.")
@click.option("--scan", type=click.IntRange(1), default=200_000, show_default=True, help="Look at no more records.")
@_connected
def ls(
    *,
    model: str | None,
    lane: str | None,
    subject: str | None,
    states: tuple[str, ...],
    everything: bool,
    limit: int,
    scan: int,
    **where: Any,
) -> None:
    """Count the jobs by pool, model, lane and state, and show the oldest of them.

    Without --in or --all: what waits (queued, following), what runs, and what failed. Records are read a page at a
    time; Redis serves others in between.

    \b
    modelpool queue ls
    modelpool queue ls --in failed --model sdxl
    modelpool queue ls --subject key:studio --limit 100 --json | jq -r '.jobs[].id'
    """
    from modelpool_cli.queue.looking import Filter, list_jobs

    shown_states = STATES if everything else states or ("queued", "following", "running", "failed")
    wanted = Filter(model=model, lane=lane, subject=subject, states=frozenset(shown_states))
    _run(functools.partial(list_jobs, wanted=wanted, limit=limit, scan=scan), **where)


@queue.command()
@click.argument("job", metavar="ID")
@_connected
def show(job: str, **where: Any) -> None:
    """Show all that is known of a job: its record, its place in the line, and how earlier attempts failed.

    \b
    modelpool queue show qt76ogse-yloVnMj8
    modelpool queue show qt76ogse-yloVnMj8 --json | jq .failures
    """
    from modelpool_cli.queue.looking import show_job

    _run(functools.partial(show_job, job=job), **where)


@queue.command()
@click.argument("jobs", metavar="[ID]...", nargs=-1)
@_model
@_lane
@_subject
@click.option("--running", is_flag=True, help="With a filter: running jobs too.")
@_yes
@_connected
def cancel(
    jobs: tuple[str, ...],
    model: str | None,
    lane: str | None,
    subject: str | None,
    running: bool,
    yes: bool,
    **where: Any,
) -> None:
    """Cancel jobs by id, or all that wait and match a filter.

    A job that waits is refunded. A running one is not: its picture is being computed, and is discarded. With
    filters only waiting jobs are cancelled, unless --running says otherwise. What comes in meanwhile stays.

    \b
    modelpool queue cancel qt76ogse-yloVnMj8 qt76ogse-WX0JGUlc
    modelpool queue cancel --subject key:studio
    modelpool queue cancel --model sdxl --running --yes
    """
    from modelpool_cli.queue.acting import cancel_by_id, cancel_matching
    from modelpool_cli.queue.looking import Filter

    filtered = bool(model or lane or subject)
    if filtered == bool(jobs):
        raise click.UsageError("name jobs by id, or give --model, --lane or --subject, but not both")
    if jobs and running:
        raise click.UsageError("--running goes with a filter: a job named by id is cancelled even when it runs")
    if jobs:
        _run(functools.partial(cancel_by_id, jobs=jobs), **where)
        return
    states = {"queued", "following", *(["running"] if running else [])}
    wanted = Filter(model=model, lane=lane, subject=subject, states=frozenset(states))
    _run(functools.partial(cancel_matching, wanted=wanted, ask=not yes), **where)


@queue.command()
@_model
@_lane
@_yes
@_connected
def drain(model: str | None, lane: str | None, yes: bool, **where: Any) -> None:
    """Empty the queue: cancel, with a refund, every job that waits.

    Of all pools there, or of one pool, model or lane. Running jobs go on and end as usual; new jobs are taken in as
    before, and what comes in meanwhile stays. To stop workers instead, drain them: they give their jobs back.

    \b
    modelpool queue drain --model sdxl
    modelpool queue drain --pool studio --lane anonymous --yes
    """
    from modelpool_cli.queue.acting import cancel_matching
    from modelpool_cli.queue.looking import Filter

    wanted = Filter(model=model, lane=lane, states=frozenset({"queued", "following"}))
    _run(functools.partial(cancel_matching, wanted=wanted, ask=not yes), **where)


@queue.command()
@click.argument("jobs", metavar="ID...", nargs=-1, required=True)
@_connected
def retry(jobs: tuple[str, ...], **where: Any) -> None:
    """Put failed or expired jobs into the queue anew, and print the new ids.

    A job that has ended never changes, so each becomes a new job with the same request, subject, lane and expected
    work, and the usual time to live. It charges nobody, and nobody is refunded for it: the failed job's charge went
    back when it failed. The same job retried again is the same new job. An input image that is gone by now makes the
    new job fail.

    \b
    modelpool queue retry qt76ogse-yloVnMj8
    modelpool queue ls --in failed --json | jq -r '.jobs[].id' | xargs modelpool queue retry
    """
    from modelpool_cli.queue.acting import retry_jobs

    _run(functools.partial(retry_jobs, jobs=jobs), **where)


@queue.command()
@click.option("--repair", is_flag=True, help="Mend what is found.")
@_connected
def check(repair: bool, **where: Any) -> None:
    """Compare records, lines, leases, followers, keys and counters, and say what disagrees.

    Safe while the queue is at work, with --repair too: each problem is looked at again in the moment in which it is
    told or mended. Ends with 0 when all is well, and with 1 when something was found, mended or not.

    \b
    modelpool queue check
    modelpool queue check --repair
    modelpool queue check --json | jq '.[].findings'
    """
    from modelpool_cli.queue.checking import check_queues

    _run(functools.partial(check_queues, repair=repair), **where)

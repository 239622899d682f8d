"""All jobs of the plan at once, over HTTP, as users would send them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelpool_cli.api import FINAL_STATES, Api, Job
from modelpool_cli.demo.plan import DemoJob
from modelpool_cli.saving import save
from modelpool_cli.submit import ending
from modelpool_local.exits import CommandFailed

LONGEST_SECONDS = 300.0
"""A job that has not ended by then has failed the demonstration."""
WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Done:
    """A job of the plan and how it ended. ``shown`` is what the API says of it, ``problem`` why there is no file."""

    job: DemoJob
    shown: Job
    file: Path | None = None
    problem: str | None = None


class Sender:
    """Sends jobs in two lanes, waits for each and saves its file."""

    def __init__(self, url: str, paid_key: str, out: Path, seconds: float = LONGEST_SECONDS) -> None:
        self._url = url
        self._paid_key = paid_key
        self._out = out
        self._deadline = time.monotonic() + seconds

    def send_all(self, jobs: Sequence[DemoJob], each: Callable[[Done], None]) -> list[Done]:
        """Every job at once, except that one which needs another's result comes after that one. In the plan's order."""
        done: dict[str, Done] = {}
        left = list(jobs)
        running: set[Future[Done]] = set()
        with ThreadPoolExecutor(max_workers=len(jobs)) as threads, self._hurried_by_an_interrupt():
            while left or running:
                ready = [job for job in left if not job.comes_second or (job.repeats or job.moves) in done]
                left = [job for job in left if job not in ready]
                running |= {threads.submit(self._send, job, done) for job in ready}
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    one = future.result()
                    done[one.job.name] = one
                    each(one)
        return [done[job.name] for job in jobs]

    @contextmanager
    def _hurried_by_an_interrupt(self) -> Iterator[None]:
        """On Ctrl-C the threads, which cannot be interrupted, stop waiting for their jobs."""
        try:
            yield
        except KeyboardInterrupt:
            self._deadline = 0.0
            raise

    def _send(self, job: DemoJob, done: Mapping[str, Done]) -> Done:
        shown: Job = {}
        try:
            with Api(self._url, self._paid_key if job.paid else None) as api:
                shown = api.submit(_body(job, done))
                while shown["state"] not in FINAL_STATES and time.monotonic() < self._deadline:
                    shown = api.job(shown["id"], wait=WAIT_SECONDS)
                if shown["state"] != "succeeded":
                    return Done(job, shown, problem=ending(shown))
                file = self._out / f"{job.name}{job.extension}"
                save(file, api.download(shown["result"]["url"]))
                return Done(job, shown, file)
        except CommandFailed as error:
            return Done(job, shown, problem=error.message)


def _body(job: DemoJob, done: Mapping[str, Done]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": job.model, "seed": job.seed}
    if job.prompt:
        body["prompt"] = job.prompt
    if job.moves is not None:
        body["image"] = {"job": done[job.moves].shown.get("id", "")}
    return body

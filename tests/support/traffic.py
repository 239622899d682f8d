"""People who keep asking for pictures while something else happens, and a count of what became of it."""

import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, pairwise
from types import TracebackType
from typing import Any, Self

import httpx

from modelpool_cli.api import FINAL_STATES, Job
from support.waiting import block_until

VISITORS = 2
ENDED_SECONDS = 120.0


@dataclass
class Outcome:
    """What became of all that was asked."""

    jobs: list[Job]
    refused: list[str]
    asked_twice: int

    @property
    def lost(self) -> list[str]:
        """Jobs that were taken and did not end well, with their error."""
        return [f"{job['id']}: {job['state']} {job.get('error')}" for job in self.jobs if job["state"] != "succeeded"]

    @property
    def longest_pause(self) -> float:
        """Seconds between two results, at the most."""
        ends = sorted(datetime.fromisoformat(job["finishedAt"]) for job in self.jobs if job.get("finishedAt"))
        return max(((b - a).total_seconds() for a, b in pairwise(ends)), default=0.0)

    def __str__(self) -> str:
        return f"{len(self.jobs)} jobs, {len(self.lost)} lost, {len(self.refused)} requests refused"


@dataclass
class Traffic:
    """A few visitors, each with a job after the other; use as a context manager. ``pause`` is between two jobs of a visitor.

    A request whose answer is lost is sent once more with its idempotency key, as clients do; one that is not answered then,
    or answered with an error, counts as refused.
    """

    url: str
    models: tuple[str, ...]
    pause: float
    _ids: list[str] = field(default_factory=list)
    _refused: list[str] = field(default_factory=list)
    _twice: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._visit, name=f"visitor {i}") for i in range(VISITORS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def accepted(self) -> int:
        """How many jobs were taken so far."""
        return len(self._ids)

    def flows(self, jobs: int = 4, seconds: float = 60.0) -> float:
        """Wait until so many jobs that are taken from now on have ended well; returns how long that took."""
        started, first = time.monotonic(), len(self._ids)
        with self._client() as client:
            block_until(
                lambda: self._well(client, self._ids[first:]) >= jobs,
                seconds,
                0.1,
                f"{jobs} further jobs have ended well",
            )
        return time.monotonic() - started

    def outcome(self, seconds: float = ENDED_SECONDS) -> Outcome:
        """After the visitors have gone: what became of every job, once it has ended."""
        ended: dict[str, Job] = {}

        def all_ended() -> bool:
            for job in (job for job in self._ids if job not in ended):
                found = self._job(client, job)
                if found is None or found["state"] not in FINAL_STATES:
                    return False
                ended[job] = found
            return True

        with self._client() as client:
            block_until(all_ended, seconds, 0.1, f"every one of {len(self._ids)} jobs has ended")
        return Outcome(list(ended.values()), list(self._refused), len(self._twice))

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=httpx.Timeout(30, connect=5), trust_env=False)

    def _visit(self) -> None:
        with self._client() as client:
            for number in count():
                self._ask(client, self.models[number % len(self.models)])
                if self._stop.wait(self.pause):
                    return

    def _ask(self, client: httpx.Client, model: str) -> None:
        body = {"model": model, "prompt": "a small boat", "seed": "random"}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        try:
            try:
                answer = client.post("/v1/jobs", json=body, headers=headers)
            except httpx.TransportError as error:
                self._twice.append(repr(error))
                answer = client.post("/v1/jobs", json=body, headers=headers)
            if answer.is_success:
                self._ids.append(answer.json()["id"])
            else:
                self._refused.append(f"{answer.status_code}: {answer.text[:200]}")
        except httpx.TransportError as error:
            self._refused.append(repr(error))

    def _well(self, client: httpx.Client, jobs: list[str]) -> int:
        found = [self._job(client, job) for job in jobs]
        return sum(job is not None and job["state"] == "succeeded" for job in found)

    def _job(self, client: httpx.Client, job: str) -> dict[str, Any] | None:
        try:
            answer = client.get(f"/v1/jobs/{job}")
        except httpx.TransportError:
            return None
        found: dict[str, Any] | None = answer.json() if answer.is_success else None
        return found

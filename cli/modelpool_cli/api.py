"""A small client of the HTTP API. Errors become one line and an exit code."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Any
from urllib.parse import quote

from modelpool_cli.http_client import httpx
from modelpool_cli.solving import solution_of
from modelpool_local.exits import CommandFailed, Exit

Job = dict[str, Any]
"""A job as the API shows it."""

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled", "expired"})
LOST_ANSWERS = 5
RETRY_SECONDS = 0.5
WAIT_SECONDS = 20
"""How long one request waits for news when the event stream does not work."""
GIVE_UP_SECONDS = 60
"""How long an API that was there may be away before a waiting command ends."""


class ServerAway(CommandFailed):
    """The server says that it, or something behind it, is away for the moment."""


def _require_url(url: str) -> None:
    try:
        parsed = httpx.URL(url)
        if parsed.scheme in ("http", "https") and parsed.host and parsed.host.encode("idna"):
            return
    except (httpx.InvalidURL, UnicodeError):
        pass
    raise CommandFailed(Exit.USAGE, f"{url!r} is no address of a server: write one such as http://127.0.0.1:8080")


class _Absence:
    """How long an API that was there has been away."""

    def __init__(self) -> None:
        self._since: float | None = None

    def lasts(self) -> bool:
        """Wait a moment; False, at once, when it has been too long."""
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > GIVE_UP_SECONDS:
            return False
        time.sleep(RETRY_SECONDS)
        return True

    def ends(self) -> None:
        """It is there again."""
        self._since = None


class Api:
    """One server and one identity. Use as a context manager, which tells in one line when nobody answers."""

    def __init__(self, url: str, key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        _require_url(self.url)
        if key and not (key.isascii() and key.isprintable()):
            raise CommandFailed(Exit.USAGE, "the API key has characters that no key has: give it as it was issued")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # No proxy from the environment: the service is usually on this machine.
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(30, connect=5),
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        if isinstance(error, httpx.TransportError):
            raise self._unreachable(error) from None

    def submit(self, body: dict[str, Any]) -> Job:
        """Send a job. A request whose answer was lost is sent again; its idempotency key makes that the same job.

        :raises CommandFailed: refused.
        """
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        for _ in range(LOST_ANSWERS):
            with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout):
                return self._read(self._post(body, headers))
            self._until_it_answers()
        return self._read(self._post(body, headers))

    def job(self, job: str, wait: float = 0) -> Job:
        """The job as it stands, or, with ``wait``, as soon as it has ended."""
        return self._call("GET", _path(job), params={"wait": f"{wait:g}"} if wait else None)

    def cancel(self, job: str) -> Job:
        """Cancel a job."""
        return self._call("DELETE", _path(job))

    def models(self) -> list[dict[str, Any]]:
        """Every model on offer."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/models")["data"]
        return found

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the admin API, whose token is this client's key. An answer without a body is an empty dictionary."""
        answer = self._http.request(method, f"/v1/admin/{path}", json=body)
        self._raise_for_problem(answer)
        shown: dict[str, Any] = answer.json() if answer.content else {}
        return shown

    def follow(self, job: Job) -> Iterator[Job]:
        """The job, again at every change, until it has ended. Survives a restart of the API."""
        yield job
        absence = _Absence()
        while job["state"] not in FINAL_STATES:
            try:
                for shown in self._stream(job["id"]):
                    job = shown
                    absence.ends()
                    yield job
                    if job["state"] in FINAL_STATES:
                        return
                # The stream ended or is not to be had: ask, and let the answer wait for the end.
                job = self.job(job["id"], wait=WAIT_SECONDS)
                yield job
            except (httpx.TransportError, ServerAway):
                if not absence.lasts():
                    raise

    def ended(self, job: Job) -> Job:
        """The job when it has ended."""
        for shown in self.follow(job):
            job = shown
        return job

    def download(self, url: str) -> bytes:
        """A result's bytes. Survives a restart of the API."""
        absence = _Absence()
        while True:
            try:
                answer = self._http.get(url)
                self._raise_for_problem(answer)
                return answer.content
            except (httpx.TransportError, ServerAway):
                if not absence.lasts():
                    raise

    def _stream(self, job: str) -> Iterator[Job]:
        timeout = httpx.Timeout(30, read=60)
        with self._http.stream("GET", f"{_path(job)}/events", timeout=timeout) as answer:
            if not answer.is_success:
                return
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    def _call(self, method: str, path: str, params: dict[str, str] | None = None) -> Job:
        return self._read(self._http.request(method, path, params=params))

    def _post(self, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        """Send a job; where the answer is a challenge, solve it and send the job again."""
        answer = self._http.post("/v1/jobs", json=body, headers=headers)
        solution = solution_of(answer)
        if solution is None:
            return answer
        return self._http.post("/v1/jobs", json=body, headers=headers | {"Modelpool-Solution": solution})

    def _until_it_answers(self) -> None:
        """Wait for an API that was there a moment ago."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                self._http.get("/healthz")
                return
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)

    def _read(self, answer: httpx.Response) -> Job:
        self._raise_for_problem(answer)
        body: Job = answer.json()
        return body

    def _raise_for_problem(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        try:
            problem = answer.json()
            message = problem.get("detail") or problem.get("title") or str(problem)
        except (ValueError, AttributeError):
            message = f"the server answered {answer.status_code} {answer.reason_phrase}"
        if (again := answer.headers.get("Retry-After")) and f"{again} s" not in message:
            message += f" (try again in {again} s)"
        kind = ServerAway if answer.status_code in (502, 503, 504) else CommandFailed
        raise kind(Exit.REFUSED, message)

    def _unreachable(self, error: httpx.TransportError) -> CommandFailed:
        return CommandFailed(
            Exit.UNREACHABLE,
            f"no modelpool answers at {self.url} ({str(error) or type(error).__name__}); "
            "start one with modelpool up -f examples/studio.yaml, or say where with --url",
        )


def _path(job: str) -> str:
    """Where a job is; whatever somebody typed as its id leads nowhere else."""
    return f"/v1/jobs/{quote(job, safe='')}"

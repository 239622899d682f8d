"""A primary, a replica and a Sentinel that watches them: real processes that fail over for real."""

import shutil
import subprocess
from pathlib import Path
from types import TracebackType

import redis

from support.ports import unused_port
from support.redis_server import RedisProcess
from support.waiting import block_until

NAME = "main"


class FailoverSet:
    """One Sentinel with a quorum of one is enough to fail over. Use as a context manager."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.primary = RedisProcess(program, folder / "primary")
        follow = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica = RedisProcess(program, folder / "replica", follow)
        for server in (self.primary, self.replica):
            server.options += ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
        self.port = unused_port()
        self._folder = folder / "sentinel"
        self._program = program
        self._sentinel: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `connect`."""
        return f"redis+sentinel://127.0.0.1:{self.port}/{NAME}/0"

    def primary_port(self) -> int:
        """Of whoever is the primary, in Sentinel's eyes."""
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def fail_over(self) -> None:
        """In order: the old primary lives on as a replica."""
        block_until(self._agrees_to_fail_over)

    def __enter__(self) -> "FailoverSet":
        self.primary.start()
        self.replica.start()
        self._folder.mkdir(parents=True)
        config = self._folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {NAME} 2000\nsentinel failover-timeout {NAME} 5000\n"
        )
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with (self._folder / "sentinel.log").open("ab") as log:
            self._sentinel = subprocess.Popen(
                [*tied, str(self._program), str(config), "--sentinel"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        block_until(self._watches_both)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sentinel is not None:
            self._sentinel.kill()
            self._sentinel.wait()
        for server in (self.primary, self.replica):
            server.__exit__()

    def _agrees_to_fail_over(self) -> bool:
        try:
            with redis.Redis(port=self.port) as client:
                return bool(client.execute_command("SENTINEL", "FAILOVER", NAME))
        except redis.ResponseError:  # it does not know the replica well enough yet
            return False

    def _watches_both(self) -> bool:
        try:
            with (
                redis.Redis(port=self.port, decode_responses=True) as sentinel,
                redis.Redis(port=self.primary.port, decode_responses=True) as primary,
            ):
                known = sentinel.execute_command("SENTINEL", "REPLICAS", NAME)
                primary.set("here", "", px=1)
                # What is written reaches the replica: before its first sign of life a primary only collects it.
                return bool(known) and primary.wait(1, 1000) == 1
        except redis.ConnectionError:
            return False

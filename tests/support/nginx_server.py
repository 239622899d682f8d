"""A real nginx as a child process of the tests, with the configurations that the chart brings: result store and edge."""

import os
import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

from support.ports import unused_port
from support.waiting import PATIENCE_SECONDS, block_until

STORE_FILES = Path(__file__).parents[2] / "charts" / "modelpool" / "files"
HOW_TO_GET_NGINX = "no nginx here; as root, run: apt-get install -y nginx"
NOBODY = 65534


class NginxMissingError(Exception):
    """No program; the message is the line to run."""


def debian_nginx() -> Path:
    """The nginx of this machine. Debian keeps it where only root's PATH leads."""
    found = shutil.which("nginx", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        raise NginxMissingError(HOW_TO_GET_NGINX)
    return Path(found)


class Nginx(ABC):
    """nginx on a loopback port of its own; as root it runs as nobody, like in a container."""

    def __init__(self, program: Path, configuration: str) -> None:
        self._program = program
        self._configuration = configuration
        self._folder = Path(tempfile.mkdtemp(prefix="modelpool-nginx-"))
        self.port = unused_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        for folder in (self._folder, *self._folders()):
            folder.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                os.chown(folder, NOBODY, NOBODY)
        self.configuration_file.write_text(self._placed())
        # A test run that is killed takes the server with it. The master ends its workers on SIGTERM, and only then.
        tied = ["setpriv", "--pdeathsig", "TERM"]
        if os.geteuid() == 0:
            tied += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        with (self._folder / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*tied, str(self._program), "-c", str(self.configuration_file), "-e", "stderr"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        block_until(self._answers)

    def stop(self) -> None:
        """End the server."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=PATIENCE_SECONDS)
            self._process = None

    @property
    def ended(self) -> bool:
        """Whether it has ended, well and by itself."""
        return self._process is not None and self._process.poll() == 0

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self._folder / "nginx.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def configuration_file(self) -> Path:
        """What the server has read."""
        return self._folder / "nginx.conf"

    @property
    def scratch(self) -> Path:
        """What is /tmp in a container."""
        return self._folder / "tmp"

    def _folders(self) -> tuple[Path, ...]:
        """What it may write to."""
        return (self.scratch,)

    @abstractmethod
    def _places(self) -> Mapping[str, str]:
        """Patterns of what the configuration says of a container, and what stands there instead."""

    def _placed(self) -> str:
        text = self._configuration
        for there, here in {r"(?<= )/tmp/": f"{self.scratch}/", **self._places()}.items():
            text, changes = re.subn(there, here, text)
            if not changes:
                raise RuntimeError(f"the chart's configuration has no {there} any more")
        return text

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(self.log[-2000:])
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


class NginxStore(Nginx):
    """The chart's result store."""

    def __init__(self, program: Path) -> None:
        super().__init__(program, (STORE_FILES / "store.nginx.conf").read_text())
        self.volume = self._folder / "volume"
        """What is a persistent volume in a cluster."""

    def empty(self) -> None:
        """Remove all that was stored."""
        for folder in ("results", "inputs"):
            shutil.rmtree(self.volume / folder, ignore_errors=True)

    def expire(self) -> None:
        """One round of the script that runs beside the server in a cluster."""
        subprocess.run(["sh", STORE_FILES / "store-expire.sh", self.volume, "0"], check=True)

    def _folders(self) -> tuple[Path, ...]:
        return (self.scratch, self.volume)

    def _places(self) -> Mapping[str, str]:
        return {
            r"listen 8080;": f"listen 127.0.0.1:{self.port};",
            r"/var/lib/modelpool-store": str(self.volume),
        }

"""A real Prometheus as a child process of the tests, scraping one place."""

import shutil
import signal
import subprocess
from pathlib import Path

import httpx

from support.ports import unused_port
from support.waiting import block_until

HOW_TO_GET_PROMETHEUS = "no prometheus here; as root, run: apt-get install -y prometheus"


class PrometheusMissingError(Exception):
    """No such program; the message is the line to run."""


def debian_prometheus() -> Path:
    """The program."""
    found = shutil.which("prometheus")
    if found is None:
        raise PrometheusMissingError(HOW_TO_GET_PROMETHEUS)
    return Path(found)


class PrometheusProcess:
    """One server on a loopback port; use as a context manager. Its data stay over `stop()` and `start()`."""

    def __init__(self, folder: Path, target: str, interval: str = "200ms") -> None:
        self._folder = folder
        self._port = unused_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n"
            f"scrape_configs: [{{job_name: api, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(debian_prometheus()),
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        block_until(self._answers)

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> "PrometheusProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"prometheus has ended: {(self._folder / 'log').read_text()[-2000:]}")
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).is_success
        except httpx.HTTPError:
            return False

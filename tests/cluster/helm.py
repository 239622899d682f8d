"""Helm, as a class."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.machine import run

WAIT_SECONDS = 600


class Helm:
    """Helm for one cluster. Every call raises ClusterError with Helm's own sentence when Helm fails."""

    def __init__(self, program: Path | str, kubeconfig: Path) -> None:
        self.program = Path(program)
        self.kubeconfig = kubeconfig

    def __call__(self, *arguments: str | Path, seconds: float = WAIT_SECONDS + 30, stdin: str | None = None) -> str:
        """Run `helm ARGUMENTS…` and return what it prints."""
        return run(self.program, f"--kubeconfig={self.kubeconfig}", *arguments, seconds=seconds, stdin=stdin)

    def install(
        self, release: str, chart: Path, namespace: str, values: Mapping[str, Any], seconds: float = WAIT_SECONDS
    ) -> str:
        """Install a release, or upgrade it, and wait until all of it is ready; the namespace is made. Returns what Helm prints, notes included."""
        options = [f"--namespace={namespace}", "--create-namespace", "--wait", f"--timeout={seconds:.0f}s"]
        command = ["upgrade", "--install", release, str(chart), *options, "--values=-"]
        # JSON is YAML.
        return self(*command, seconds=seconds + 30, stdin=json.dumps(values))

    def test(self, release: str, namespace: str, seconds: float = WAIT_SECONDS) -> str:
        """Run the chart's own tests. Returns what Helm prints, the tests' logs included."""
        return self(
            "test", release, f"--namespace={namespace}", "--logs", f"--timeout={seconds:.0f}s", seconds=seconds + 30
        )

    def uninstall(self, release: str, namespace: str, seconds: float = WAIT_SECONDS) -> str:
        """Remove a release, if there is one, and wait until it is gone. Returns what Helm prints: what it keeps is there."""
        options = [f"--namespace={namespace}", "--ignore-not-found", "--wait", f"--timeout={seconds:.0f}s"]
        return self("uninstall", release, *options)

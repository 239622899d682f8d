"""kubectl, as a class."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.machine import run

Object = dict[str, Any]
"""A Kubernetes object as JSON has it."""

REQUEST_SECONDS = 60


class Kubectl:
    """One cluster's kubectl. Every call raises ClusterError with kubectl's own sentence when kubectl fails."""

    def __init__(self, program: Path | str, kubeconfig: Path) -> None:
        self.program = Path(program)
        self.kubeconfig = kubeconfig

    def __call__(self, *arguments: str, seconds: float = REQUEST_SECONDS, stdin: str | None = None) -> str:
        """Run `kubectl ARGUMENTS…` and return what it prints."""
        return run(self.program, f"--kubeconfig={self.kubeconfig}", *arguments, seconds=seconds, stdin=stdin)

    def answers(self, path: str) -> bool:
        """Whether the API server answers this path well, within a few seconds."""
        try:
            self("get", "--raw", path, "--request-timeout=5s", seconds=30)
        except ClusterError:
            return False
        return True

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """One object."""
        found: Object = json.loads(self("get", kind, name, "--output=json", *_in(namespace)))
        return found

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object; None when there is none of that name."""
        text = self("get", kind, name, "--output=json", "--ignore-not-found", *_in(namespace))
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Object]:
        """All objects of a kind; of all namespaces when none is given."""
        selector = [f"--selector={','.join(f'{key}={value}' for key, value in labels.items())}"] if labels else []
        where = _in(namespace) if namespace else ["--all-namespaces"]
        found: list[Object] = json.loads(self("get", kind, "--output=json", *where, *selector))["items"]
        return found

    def apply(self, *objects: Object, namespace: str | None = None) -> None:
        """Create the objects, or make them what they say."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--filename=-", *_in(namespace), stdin=json.dumps(bundle))

    def delete(
        self, kind: str, *names: str, namespace: str | None = None, now: bool = False, seconds: float = 120
    ) -> None:
        """Delete objects and wait until they are gone; `now` gives pods a grace of one second."""
        grace = ["--now"] if now else []
        self(
            "delete",
            kind,
            *(names or ["--all"]),
            "--ignore-not-found",
            f"--timeout={seconds:.0f}s",
            *grace,
            *_in(namespace),
            seconds=seconds + 30,
        )

    def logs(self, pod: str, namespace: str, container: str | None = None) -> str:
        """What a pod has printed."""
        return self("logs", pod, *_in(namespace), *([f"--container={container}"] if container else []))

    def execute(self, pod: str, namespace: str, *command: str, seconds: float = REQUEST_SECONDS) -> str:
        """Run a command in a pod and return what it prints."""
        return self("exec", pod, *_in(namespace), "--", *command, seconds=seconds)

    def background(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `kubectl ARGUMENTS…` (a watch, a port-forward) with its output in a pipe; the caller ends it."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def condition(thing: Object, kind: str) -> Object | None:
    """The condition of that type in an object's status; None when it has none."""
    found: Iterable[Object] = thing.get("status", {}).get("conditions", [])
    return next((entry for entry in found if entry["type"] == kind), None)


def holds(thing: Object, kind: str) -> bool:
    """Whether the condition of that type is True."""
    found = condition(thing, kind)
    return found is not None and found["status"] == "True"


def _in(namespace: str | None) -> list[str]:
    return [f"--namespace={namespace}"] if namespace else []

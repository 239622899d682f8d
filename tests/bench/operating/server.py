"""A real API server and its etcd on loopback, without nodes, scheduler or controllers: what is created stays as it is."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from cluster.build import build_programs
from cluster.certificates import Authority, signing_key
from cluster.kubectl import Kubectl
from cluster.layout import Layout
from support.ports import unused_port
from support.waiting import block_until

OPERATOR = "modelpool-operator"
KUBELET = "bench-kubelet"
WRITES = ("create", "update", "patch", "delete", "deletecollection")
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [OPERATOR], "verbs": list(WRITES)}, {"level": "None"}],
}
START_SECONDS = 120
END_SECONDS = 30


class RealApiServer:
    """Everybody with a certificate may do anything; what the operator writes is on record."""

    def __init__(self, folder: Path) -> None:
        """Build the programs, unless the cache has them, and start them. Raises ClusterError when that cannot be done."""
        self._folder = folder
        self._audit = folder / "audit.log"
        self._programs = build_programs(Layout.default().cache, print)
        self._authority = Authority(folder / "certificates")
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = unused_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.kubectl = Kubectl(self._programs["kubectl"], self.kubeconfig("admin"))

    def __enter__(self) -> RealApiServer:
        etcd, peer = (f"http://127.0.0.1:{unused_port()}" for _ in range(2))
        self._start(
            "etcd",
            [
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={etcd}",
                f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peer}",
                "--unsafe-no-fsync",
            ],
        )
        self._start("kube-apiserver", self._arguments(etcd))
        block_until(lambda: self.kubectl.answers("/readyz"), START_SECONDS, 0.5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a user of that name."""
        path = self._folder / f"{user}.kubeconfig"
        if not path.exists():
            self._authority.kubeconfig(path, self.server, user)
        return path

    def writes(self, since: datetime, until: datetime) -> list[str]:
        """What the operator wrote, or tried to, between two moments: `verb resource/subresource`."""
        return [
            f"{entry['verb']} {_resource(entry['objectRef'])}"
            for entry in self._entries()
            if since <= datetime.fromisoformat(entry["requestReceivedTimestamp"]) < until
        ]

    def _entries(self) -> Iterator[dict[str, Any]]:
        if self._audit.exists():
            for line in self._audit.read_text().splitlines():
                yield json.loads(line)

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            command = [str(self._programs[name]), *arguments]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def _arguments(self, etcd: str) -> list[str]:
        policy = self._folder / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(AUDIT_POLICY))
        own = self._authority.sign("api-server", "kube-apiserver", hosts=["127.0.0.1", "localhost"])
        tokens = signing_key(self._folder / "certificates")
        return [
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--service-cluster-ip-range=10.252.0.0/24",
            "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount",
            f"--client-ca-file={self._authority.certificate}",
            f"--tls-cert-file={own.certificate}",
            f"--tls-private-key-file={own.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={tokens.certificate}",
            f"--service-account-signing-key-file={tokens.key}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self._audit}",
            "--audit-log-maxsize=500",
        ]


def _resource(reference: dict[str, str]) -> str:
    return "/".join(part for part in (reference["resource"], reference.get("subresource", "")) if part)

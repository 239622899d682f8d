"""The chart's edge: a real nginx in front of an API of the tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.chart import rendered
from support.nginx_server import NOBODY, Nginx
from support.waiting import PATIENCE_SECONDS

NAME = "demo-edge"
EDGE = "127.0.0.1/32"
"""The edge as the API sees it. Not all of 127.0.0.0/8: the rest are addresses of the tests' clients."""


def edge_manifest(kind: str, values: Mapping[str, Any]) -> Any:
    """The edge's manifest of this kind as the chart makes it from ``values``; those that the edge needs are there."""
    edge = {"enabled": True, "podNetworks": ["10.0.0.0/8"], **values.get("edge", {})}
    for document in rendered({**values, "edge": edge}):
        if (document["kind"], document["metadata"]["name"]) == (kind, NAME):
            return document
    raise RuntimeError(f"the chart has no {kind} {NAME} any more")


def edge_configuration(values: Mapping[str, Any]) -> str:
    """nginx's configuration as the chart makes it from ``values``."""
    text: str = edge_manifest("ConfigMap", values)["data"]["edge.nginx.conf"]
    return text


class NginxEdge(Nginx):
    """The chart's edge in front of the API at ``api_port`` of this machine, with the chart's ``values``."""

    def __init__(self, program: Path, api_port: int, values: Mapping[str, Any]) -> None:
        super().__init__(program, edge_configuration(values))
        self._api_port = api_port
        self._values = values
        self._access_log = self._folder / "access.log"
        self._quitting: subprocess.Popen[bytes] | None = None

    def requests(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        return [json.loads(line) for line in self._access_log.read_text().splitlines()]

    def quit(self) -> None:
        """Run what the chart has a pod run before it ends, without the time for endpoints; returns at once."""
        (container,) = edge_manifest("Deployment", self._values)["spec"]["template"]["spec"]["containers"]
        *shell, line = container["lifecycle"]["preStop"]["exec"]["command"]
        line = line.removeprefix("sleep 5; ").replace("/tmp/", f"{self.scratch}/")
        self._quitting = subprocess.Popen([*shell, line])

    def stop(self) -> None:
        """End the server, and what waits for its end."""
        super().stop()
        if self._quitting is not None:
            self._quitting.wait(timeout=PATIENCE_SECONDS)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._access_log.touch()
        if os.geteuid() == 0:
            os.chown(self._access_log, NOBODY, NOBODY)
        super().start()

    def _places(self) -> Mapping[str, str]:
        return {
            r"listen 8080 ": f"listen 127.0.0.1:{self.port} ",
            r"listen \[::\]:8080 ": f"listen [::1]:{self.port} ",
            r"server demo-api\.prod\.svc:80;": f"server 127.0.0.1:{self._api_port};",
            r"/dev/stdout": str(self._access_log),
        }


MakeEdge = Callable[..., NginxEdge]
"""Starts an edge with these values of the chart's ``edge``."""

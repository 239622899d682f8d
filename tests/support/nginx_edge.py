"""The chart's edge: a real nginx in front of an API of the tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.chart import rendered
from support.nginx_server import NOBODY, Nginx

NAME = "demo-edge"
EDGE = "127.0.0.1/32"
"""The edge as the API sees it. Not all of 127.0.0.0/8: the rest are addresses of the tests' clients."""


def edge_configuration(values: Mapping[str, Any]) -> str:
    """nginx's configuration as the chart makes it from ``values``; those that the edge needs are there."""
    edge = {"enabled": True, "podNetworks": ["10.0.0.0/8"], **values.get("edge", {})}
    for document in rendered({**values, "edge": edge}):
        if (document["kind"], document["metadata"]["name"]) == ("ConfigMap", NAME):
            text: str = document["data"]["edge.nginx.conf"]
            return text
    raise RuntimeError(f"the chart has no ConfigMap {NAME} any more")


class NginxEdge(Nginx):
    """The chart's edge in front of the API at ``api_port`` of this machine, with the chart's ``values``."""

    def __init__(self, program: Path, api_port: int, values: Mapping[str, Any]) -> None:
        super().__init__(program, edge_configuration(values))
        self._api_port = api_port
        self._access_log = self._folder / "access.log"

    def requests(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        return [json.loads(line) for line in self._access_log.read_text().splitlines()]

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

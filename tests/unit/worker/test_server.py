from __future__ import annotations

import re
import socket

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge

from modelpool_worker.server import ProbeServer


@pytest.mark.parametrize(("wrong", "status"), [(None, 200), ("the engine hangs", 503)])
def test_a_probe_says_what_is_wrong(wrong: str | None, status: int) -> None:
    server = ProbeServer("127.0.0.1", 0, CollectorRegistry(), healthy=lambda: wrong, ready=lambda: None)
    try:
        answer = httpx.get(f"{server.url}/healthz", trust_env=False)
        assert answer.status_code == status
        assert answer.json() == {"status": wrong or "ok"}
        assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200
    finally:
        server.close()


def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    Gauge("answer", "To everything.", registry=registry).set(42)
    server = ProbeServer("127.0.0.1", 0, registry, healthy=lambda: None, ready=lambda: None)
    try:
        assert "answer 42.0" in httpx.get(f"{server.url}/metrics", trust_env=False).text
        assert httpx.get(f"{server.url}/other", trust_env=False).status_code == 404
    finally:
        server.close()


def test_a_server_on_all_addresses_tells_one_that_others_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ProbeServer("0.0.0.0", 0, CollectorRegistry(), healthy=lambda: None, ready=lambda: None)
    try:
        monkeypatch.setattr(socket, "gethostname", lambda: "studio-primary-0")
        monkeypatch.setattr(socket, "gethostbyname", {"studio-primary-0": "10.1.2.3"}.__getitem__)
        assert re.fullmatch(r"http://10\.1\.2\.3:\d+", server.url)

        def unknown(host: str) -> str:
            raise socket.gaierror(f"{host} is not known")

        monkeypatch.setattr(socket, "gethostbyname", unknown)
        assert re.fullmatch(r"http://studio-primary-0:\d+", server.url)
    finally:
        server.close()

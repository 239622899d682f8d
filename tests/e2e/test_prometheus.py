"""The Prometheus of the scenarios finds what carries our labels."""

from typing import Any

import httpx
import pytest

from cluster.kubectl import Kubectl
from support.pods import pod
from support.prometheus import NAMESPACE
from support.reach import address_of
from support.waiting import block_until

SERVE = 'mkdir -p /tmp/w; echo "scenario_sample 42" >/tmp/w/metrics; exec httpd -f -p 8080 -h /tmp/w'


@pytest.mark.budget(20)
def test_prometheus_scrapes_pods_with_our_labels_and_no_others(
    kubectl: Kubectl, cluster: object, prometheus_url: str, namespace: str
) -> None:
    ours = {"app.kubernetes.io/name": "modelpool", "app.kubernetes.io/component": "worker"}
    for name, labels in (("ours", ours), ("other", {"app.kubernetes.io/name": "other"})):
        made = pod(name, SERVE, labels=labels)
        made["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
        kubectl.apply(made, namespace=namespace)
    url = f"http://{address_of(kubectl, 'prometheus', NAMESPACE)}/api/v1/query"

    def samples() -> list[dict[str, Any]]:
        question = {"query": f'scenario_sample{{namespace="{namespace}"}}'}
        answer = httpx.get(url, params=question, timeout=5, trust_env=False)
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    seen = block_until(samples, 120, 0.5)
    assert {sample["metric"]["pod"] for sample in seen} == {"ours"}
    assert seen[0]["metric"]["component"] == "worker"
    assert seen[0]["value"][1] == "42"

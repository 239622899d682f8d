"""What a person sees who has kubectl, Helm and our command line, and nothing else."""

import base64
import json
import os
import re
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import Cluster
from cluster.kubectl import Kubectl, Object
from cluster.machine import run
from support.installation import RELEASE, Installation
from support.reach import address_of
from support.rota import POOL, SECONDARY, SLOTS, Rota

Record = Callable[[str, object], None]
PROGRAMS = Path(sysconfig.get_path("scripts"))


def table(text: str) -> list[dict[str, str]]:
    """What `kubectl get` prints, a row a dictionary; no cell of these columns has two blanks in it."""
    head, *rows = (line for line in text.splitlines() if line.strip())
    starts = [
        index for index in range(len(head)) if head[index] != " " and (index == 0 or head[index - 2 : index] == "  ")
    ]
    cells = [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in (head, *rows)]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


@pytest.mark.budget(30)
def test_helm_test_asks_the_api(rota: Rota, shared: Installation) -> None:
    said = shared.helm.test(RELEASE, shared.namespace)
    assert "Succeeded" in said
    assert re.search(r"\n[1-9]\d* models\n", said), "the test asks the API, and says what it heard"


@pytest.mark.budget(40)
def test_kubectl_shows_the_pool_waits_for_it_and_says_what_happened_and_why(rota: Rota, kubectl: Kubectl) -> None:
    for model in ("red", "green"):  # one of them is a swap
        rota.made(model)
    rota.until_served()
    here = f"--namespace={rota.service.namespace}"
    assert "condition met" in kubectl("wait", f"mpl/{POOL}", here, "--for=condition=Ready", "--timeout=60s")

    [row] = table(kubectl("get", "modelpools", POOL, here))
    assert list(row) == ["NAME", "READY", "SLOTS", "HOT", "QUEUED", "$/GEN", "AGE"]
    assert (row["NAME"], row["READY"], row["SLOTS"], row["QUEUED"]) == (POOL, "True", str(len(SLOTS)), "0")
    [wide] = table(kubectl("get", "mpl", POOL, here, "--output=wide"))
    assert (wide["READY SLOTS"], wide["DEGRADED"]) == (str(len(SLOTS)), "False")
    assert POOL in kubectl("get", "modelpool", here), "the category lists it, too"

    written = json.loads(kubectl("get", "mpl", POOL, here, "--output=json"))["metadata"]
    assert "finalizers" not in written, "an operator that is gone must not keep a pool from going"
    assert not [name for name in written.get("annotations", {}) if "kopf" in name]

    told = kubectl("describe", "mpl", POOL, here)
    events = told[told.index("Events:") :]
    assert "DemandMiss" in events
    assert f"unload red in {SECONDARY}" in events
    assert "score" in events


@pytest.mark.budget(20)
def test_a_status_that_somebody_edits_is_the_operators_again_a_moment_later(
    rota: Rota, kubectl: Kubectl, record_property: Record
) -> None:
    started = time.monotonic()
    wrong = json.dumps({"status": {"slots": 99, "conditions": []}})
    here = f"--namespace={rota.service.namespace}"
    kubectl("patch", "mpl", POOL, here, "--subresource=status", "--type=merge", f"--patch={wrong}")
    assert rota.look()["status"]["slots"] == 99
    rota.until("the status is the operator's again", lambda: rota.look()["status"]["slots"] == len(SLOTS))
    record_property("edited to mended, s", round(time.monotonic() - started, 1))
    assert rota.is_served()


@pytest.mark.budget(20)
@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("mpl.spec", ("tiers", "rebalance", "hostMemory")),
        ("mpl.spec.tiers.policy", ("Always", "Rotate", "OnDemand")),
        ("mpl.status.gpus", ("phase", "reason")),
    ],
)
def test_kubectl_explain_is_the_manual(
    shared: Installation, kubectl: Kubectl, field: str, words: tuple[str, ...]
) -> None:
    said = kubectl("explain", field)
    assert [word for word in words if word not in said] == []
    assert "<no description>" not in said


@pytest.mark.budget(40)
def test_the_plugin_of_kubectl_plans_for_the_pool_of_the_cluster_and_changes_nothing(
    rota: Rota, kubectl: Kubectl, cluster: Cluster
) -> None:
    rota.made("red")
    rota.until_served()
    before = rota.look()["metadata"]["generation"], rota.lives()
    planned = plan(rota, kubectl, cluster)
    assert planned["coldStart"] is False
    assert {slot["slot"]: slot["hot"] for slot in planned["slots"]} == {slot: rota.slot(slot)["hot"] for slot in SLOTS}
    assert (rota.look()["metadata"]["generation"], rota.lives()) == before


def plan(rota: Rota, kubectl: Kubectl, cluster: Cluster) -> Object:
    """What `kubectl modelpool plan` says of the pool, with its Redis."""
    namespace = rota.service.namespace
    secret = kubectl.get("secret", f"{RELEASE}-urls", namespace)["data"]
    password = base64.b64decode(secret["redisPassword"]).decode()
    address = address_of(kubectl, f"{RELEASE}-redis", namespace)
    context = kubectl("config", "current-context").strip()
    path = os.pathsep.join([str(PROGRAMS), os.environ["PATH"]])
    command = ("env", f"PATH={path}", kubectl.program, "modelpool", "plan", "--json", "--context", context)
    where = ("--kubeconfig", kubectl.kubeconfig, "--pool", f"{namespace}/{POOL}")
    found: Object = json.loads(run(*command, *where, "--redis-url", f"redis://:{password}@{address}/0"))
    return found

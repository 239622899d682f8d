"""The audit log of the whole run: nobody of ours was refused anything, and no right was granted for nothing."""

import json
from datetime import datetime
from typing import Any

import pytest

from cluster import Cluster
from support.chart import rendered

Entry = dict[str, Any]
Right = tuple[str, str]
"""A verb, and a resource with its group."""
OURS = ("system:serviceaccount:e2e-shared:", "system:serviceaccount:e2e-studio:")
FORBIDDEN, CREATED = 403, 201

pytestmark = pytest.mark.in_the_end


def entries(cluster: Cluster, since: datetime) -> list[Entry]:
    """What service accounts beside our installations asked the API server during this run, and what it answered."""
    found = []
    with cluster.layout.audit_log.open() as log:
        for line in log:
            if any(account in line for account in OURS):
                entry = json.loads(line)
                began = datetime.fromisoformat(entry["requestReceivedTimestamp"])
                if entry["user"]["username"].startswith(OURS) and began >= since:
                    found.append(entry)
    return found


def rights_of(entry: Entry) -> set[Right]:
    """The rights that a request takes."""
    found = entry.get("objectRef", {})
    resource = "/".join(filter(None, (found.get("resource"), found.get("subresource"))))
    name = f"{resource}.{found.get('apiGroup', '')}"
    # To apply what is not there is to create it.
    made = entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == CREATED
    return {(entry["verb"], name), *([("create", name)] if made else [])}


def granted() -> set[Right]:
    """What the chart's role allows the operator."""
    [role] = [document for document in rendered({}) if document["kind"] == "ClusterRole"]
    return {
        (verb, f"{resource}.{group}")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def some_were_chosen(request: pytest.FixtureRequest) -> bool:
    """Whether this run is not one of all scenarios."""
    return bool(request.config.option.keyword) or request.config.args != ["tests/e2e"]


@pytest.mark.budget(30)
def test_nobody_of_ours_asked_for_anything_that_is_refused(
    cluster: Cluster, run_began: datetime, request: pytest.FixtureRequest
) -> None:
    found = entries(cluster, run_began)
    if not found and some_were_chosen(request):
        pytest.skip("some scenarios were chosen, and none of them had an operator")
    assert {entry["user"]["username"].rpartition(":")[2] for entry in found} == {"modelpool-operator"}
    refused = [entry for entry in found if entry.get("responseStatus", {}).get("code") == FORBIDDEN]
    # An API server that has just started knows nobody's rights for a moment, and none are left while a release is uninstalled.
    unexpected = [entry for entry in refused if not rights_of(entry) <= granted()]
    assert [f"{entry['verb']} {entry['requestURI']}" for entry in unexpected] == []


@pytest.mark.budget(30)
def test_every_right_of_the_operator_was_used_by_some_scenario(
    cluster: Cluster, run_began: datetime, request: pytest.FixtureRequest
) -> None:
    if some_were_chosen(request):
        pytest.skip("some scenarios were chosen, and it takes all of them to use every right")
    used = set().union(*(rights_of(entry) for entry in entries(cluster, run_began)))
    assert granted() - used == set()

"""The audit log of the whole run: nobody of ours was refused anything, and no right was granted for nothing."""

import json
from datetime import datetime
from typing import Any

import pytest

from cluster import Cluster
from support.chart import Values, rendered

Entry = dict[str, Any]
Right = tuple[str, str]
"""A verb, and a resource with its group."""
OPERATORS: dict[str, Values] = {
    "e2e-shared": {},
    "e2e-studio": {},
    "e2e-apart": {"operator": {"namespaces": ["e2e-apart"]}},
    "e2e-edge": {"operator": {"namespaces": ["e2e-edge"]}},
}
"""By namespace of a release that the scenarios install, the values that its operator's rights depend on."""
ACCOUNT = "system:serviceaccount:"
FORBIDDEN, CREATED = 403, 201

pytestmark = pytest.mark.in_the_end


def entries(cluster: Cluster, since: datetime) -> list[Entry]:
    """What service accounts of the scenarios' namespaces asked the API server during this run, and what it answered."""
    ours = f"{ACCOUNT}e2e-"
    found = []
    with cluster.layout.audit_log.open() as log:
        for line in log:
            if ours in line:
                entry = json.loads(line)
                began = datetime.fromisoformat(entry["requestReceivedTimestamp"])
                if entry["user"]["username"].startswith(ours) and began >= since:
                    found.append(entry)
    return found


def asker(entry: Entry) -> tuple[str, str]:
    """Namespace and name of the service account."""
    namespace, _, name = entry["user"]["username"].removeprefix(ACCOUNT).partition(":")
    return namespace, name


def rights_of(entry: Entry) -> set[Right]:
    """The rights that a request takes."""
    found = entry.get("objectRef", {})
    resource = "/".join(filter(None, (found.get("resource"), found.get("subresource"))))
    name = f"{resource}.{found.get('apiGroup', '')}"
    # To apply what is not there is to create it.
    made = entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == CREATED
    return {(entry["verb"], name), *([("create", name)] if made else [])}


def granted(values: Values, namespace: str | None) -> set[Right]:
    """What the chart with these values allows its operator in a namespace; None: in all at once."""
    roles = [
        document
        for document in rendered(values)
        if document["kind"] == "ClusterRole"
        or (document["kind"] == "Role" and document["metadata"]["namespace"] == namespace)
    ]
    return {
        (verb, f"{resource}.{group}")
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def is_granted(entry: Entry) -> bool:
    """Whether the operator has the rights where it asked for something."""
    namespace, _ = asker(entry)
    return rights_of(entry) <= granted(OPERATORS[namespace], entry.get("objectRef", {}).get("namespace"))


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
    askers = {asker(entry) for entry in found}
    expected = {(namespace, "modelpool-operator") for namespace in OPERATORS}
    assert askers <= expected if some_were_chosen(request) else askers == expected
    refused = [entry for entry in found if entry.get("responseStatus", {}).get("code") == FORBIDDEN]
    # An API server that has just started knows nobody's rights for a moment, and none are left while a release is uninstalled.
    unexpected = [entry for entry in refused if not is_granted(entry)]
    assert [f"{asker(entry)}: {entry['verb']} {entry['requestURI']}" for entry in unexpected] == []


@pytest.mark.budget(30)
def test_every_right_of_the_operator_was_used_by_some_scenario(
    cluster: Cluster, run_began: datetime, request: pytest.FixtureRequest
) -> None:
    if some_were_chosen(request):
        pytest.skip("some scenarios were chosen, and it takes all of them to use every right")
    used = set().union(*(rights_of(entry) for entry in entries(cluster, run_began)))
    assert granted({}, None) - used == set()

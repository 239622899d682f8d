"""The chart renders to objects that Kubernetes takes, within the restricted level of Pod Security."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml

from modelpool_api.__main__ import main as api_command
from modelpool_api.policy_file import parse_policy
from support.chart import CHART, MATRIX, SCHEMA, VALUES, Values, notes, pod_specs, rendered

ROOT = CHART.parents[1]
each_values = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


def one(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)
    return found


def kinds_and_names(values: Values) -> set[str]:
    return {f"{document['kind']}/{document['metadata']['name']}" for document in rendered(values)}


def test_helm_finds_nothing_to_complain_about() -> None:
    found = helm_python.lint(str(CHART))
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@each_values
def test_every_object_is_one_that_kubernetes_knows(values: Values) -> None:
    documents = rendered(values)
    assert len(documents) >= 10
    for document in documents:
        known_to_kubernetes(json.dumps(document, sort_keys=True))


@cache
def known_to_kubernetes(document: str) -> None:
    """Once for what is the same in many renderings; reading the schemas takes its time."""
    kubernetes_validate.validate(json.loads(document), "1.37", strict=True)


@each_values
def test_no_two_objects_have_one_name(values: Values) -> None:
    documents = rendered(values)
    names = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
    assert len(set(names)) == len(names)


@each_values
def test_every_pod_meets_the_restricted_level(values: Values) -> None:
    for name, pod in pod_specs(rendered(values)):
        for unwanted in ("hostNetwork", "hostPID", "hostIPC"):
            assert not pod.get(unwanted), name
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"]), name
        for container in pod["containers"] + pod.get("initContainers", []):
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False, name
            assert inner["readOnlyRootFilesystem"] is True, name
            assert inner["capabilities"] == {"drop": ["ALL"]}, name
            assert not {"privileged", "runAsUser", "seccompProfile"} & set(inner), name
            assert all("hostPort" not in port for port in container.get("ports", ())), name


@each_values
def test_only_the_operator_gets_a_token(values: Values) -> None:
    tokens = {name: pod["automountServiceAccountToken"] for name, pod in pod_specs(rendered(values))}
    assert {name for name, token in tokens.items() if token} == {"Deployment/demo-operator"}


@each_values
def test_every_container_has_bounds_and_every_service_probes(values: Values) -> None:
    for name, pod in pod_specs(rendered(values)):
        # Variables that Kubernetes makes from Services would look like our own.
        assert pod["enableServiceLinks"] is False, name
        for container in pod["containers"]:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            if "ports" in container:
                assert {"livenessProbe", "readinessProbe"} <= set(container), name


@each_values
def test_mounts_and_references_lead_somewhere(values: Values) -> None:
    documents = rendered(values)
    config_maps = {d["metadata"]["name"]: d["data"] for d in documents if d["kind"] == "ConfigMap"}
    keys = {d["metadata"]["name"]: set(d["stringData"]) for d in documents if d["kind"] == "Secret"}
    for name, pod in pod_specs(documents):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {m["name"] for c in pod["containers"] for m in c["volumeMounts"]} | {"data"} == set(volumes) | {
            "data"
        }, name
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in config_maps, name
        for container in pod["containers"]:
            for reference in (e["valueFrom"]["secretKeyRef"] for e in container.get("env", ()) if "valueFrom" in e):
                if reference["name"] in keys:
                    assert reference["key"] in keys[reference["name"]], name
                else:
                    assert reference["name"] in ("cache", "bucket", "cookies", "office"), name


@each_values
def test_services_find_their_pods(values: Values) -> None:
    documents = rendered(values)
    labels = [
        d["spec"]["template"]["metadata"]["labels"] for d in documents if d["kind"] in ("Deployment", "StatefulSet")
    ]
    for service in (d for d in documents if d["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        assert sum(selector <= found.items() for found in labels) == 1, service["metadata"]["name"]


def test_helms_own_test_waits_for_a_service_that_does_not_answer_well_yet() -> None:
    answers = [(503, b""), (200, b'{"data": [{}, {}]}')]

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    [container] = one(rendered({}), "Pod", "demo-test-api")["spec"]["containers"]
    _, _, program, url = container["command"]
    assert url == "http://demo-api.prod.svc:80/v1/models"
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        here = f"http://127.0.0.1:{server.server_port}/v1/models"
        said = subprocess.run(
            [sys.executable, "-c", program, here], check=False, capture_output=True, text=True, timeout=30
        )
        server.shutdown()
        thread.join()
    assert (said.returncode, said.stdout) == (0, "2 models\n"), said.stderr


def test_the_operator_runs_once() -> None:
    spec = one(rendered({}), "Deployment", "demo-operator")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def environment(values: Values, name: str) -> dict[str, Any]:
    (container,) = one(rendered(values), "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_operator_and_api_are_told_where_things_are() -> None:
    values = MATRIX["everything said"]
    secret = {"secretKeyRef": {"name": "demo-urls", "key": "redisUrl"}}
    assert environment(values, "demo-operator") == {
        "MODELPOOL_REDIS_URL": secret,
        "MODELPOOL_STORE_URL": {"secretKeyRef": {"name": "demo-urls", "key": "storeUrl"}},
        "MODELPOOL_NAMESPACES": "",
        "MODELPOOL_WORKER_IMAGE": "registry.example/worker:2-cuda",
        "MODELPOOL_PROMETHEUS_URL": "http://prometheus.monitoring.svc:9090",
        "MODELPOOL_LISTEN_HOST": "0.0.0.0",
        "MODELPOOL_LISTEN_PORT": "8081",
    }
    api = environment(values, "demo-api")
    assert api["MODELPOOL_REDIS_URL"] == secret
    assert api["MODELPOOL_SUBJECT_SECRET"] == {"secretKeyRef": {"name": "cookies", "key": "ring"}}
    assert api["MODELPOOL_ADMIN_TOKEN"] == {"secretKeyRef": {"name": "office", "key": "token"}}
    assert api["MODELPOOL_API_KEYS"] == "/etc/modelpool/keys/keys.yaml"
    assert environment(MATRIX["some namespaces"], "demo-operator")["MODELPOOL_NAMESPACES"] == "art,film"


@pytest.mark.parametrize(
    ("case", "urls"),
    [
        (
            "external redis",
            {"redisUrl": "rediss://:secret@cache.example:6380/0", "storeUrl": "http://demo-store.prod.svc:8080"},
        ),
        ("s3", {"storeUrl": "s3://results/studio"}),
        ("shared volume", {"storeUrl": "file:///var/lib/modelpool-store"}),
    ],
)
def test_the_secret_holds_the_addresses(case: str, urls: dict[str, str]) -> None:
    held = one(rendered(MATRIX[case]), "Secret", "demo-urls")["stringData"]
    assert held.items() >= urls.items()
    assert len(held["subjectSecret"]) == len(held["adminToken"]) == 48
    assert held["subjectSecret"] != held["adminToken"]


@pytest.mark.parametrize("case", ["default", "everything said"])
def test_the_api_knows_every_variable_that_the_chart_sets_and_takes_its_values(case: str) -> None:
    told = {name: value for name, value in environment(MATRIX[case], "demo-api").items() if isinstance(value, str)}
    known = {str(option.envvar): option for option in api_command.params}
    assert set(environment(MATRIX[case], "demo-api")) <= set(known)
    for name, value in told.items():
        known[name].type_cast_value(click.Context(api_command), value)
    own = {"MODELPOOL_REDIS_URL", "MODELPOOL_STORE_URL", "MODELPOOL_SUBJECT_SECRET", "MODELPOOL_ADMIN_TOKEN"}
    assert set(known) - set(told) - own <= {"None", "MODELPOOL_API_KEYS"}


def test_the_address_of_our_redis_holds_its_password() -> None:
    held = one(rendered({}), "Secret", "demo-urls")["stringData"]
    assert held["redisUrl"] == f"redis://:{held['redisPassword']}@demo-redis.prod.svc:6379/0"
    assert len(held["redisPassword"]) == 32


def test_parts_that_others_provide_are_left_out() -> None:
    assert {"StatefulSet/demo-redis", "Deployment/demo-store"} <= kinds_and_names({})
    assert not any("redis" in name for name in kinds_and_names(MATRIX["external redis"]))
    assert not any("store" in name for name in kinds_and_names(MATRIX["s3"]))
    assert not any("CustomResource" in name for name in kinds_and_names(MATRIX["definition installed by others"]))
    assert "PersistentVolumeClaim/demo-models" not in kinds_and_names({})
    assert not any("PersistentVolumeClaim" in name for name in kinds_and_names(MATRIX["without volumes"]))


def trusted(values: Values) -> list[str]:
    """The networks that the API believes, as it reads its document."""
    document = one(rendered(values), "ConfigMap", "demo-api")["data"]["admission.yaml"]
    return [str(network) for network in parse_policy(yaml.safe_load(document)).identity.trusted_proxies]


def test_the_edge_is_there_for_who_asks_for_it_and_the_api_believes_it() -> None:
    assert not any("edge" in name for name in kinds_and_names({}))
    assert trusted({}) == []
    assert {name for name in kinds_and_names(MATRIX["edge"]) if "edge" in name} == {
        "ConfigMap/demo-edge",
        "Service/demo-edge",
        "Deployment/demo-edge",
    }
    assert trusted(MATRIX["edge"]) == ["10.244.0.0/16"]
    far = MATRIX["edge behind a load balancer"]
    assert trusted(far) == ["10.9.0.0/16", "10.244.0.0/16", "fd00:10:244::/56"]
    document = yaml.safe_load(one(rendered(far), "ConfigMap", "demo-api")["data"]["admission.yaml"])
    assert document["identity"]["cookie"] == {"name": "visitor"}


def test_what_changes_the_edge_or_whom_the_api_believes_starts_its_pods_anew() -> None:
    def checksums(values: Values) -> tuple[str, str]:
        api, edge = (
            one(rendered(values), "Deployment", f"demo-{part}")["spec"]["template"]["metadata"]["annotations"]
            for part in ("api", "edge")
        )
        return api["checksum/admission"], edge["checksum/configuration"]

    usual = {"enabled": True, "podNetworks": ["10.244.0.0/16"]}
    before = checksums({"edge": usual})
    assert checksums({"edge": {**usual, "cacheSize": "2g"}})[0] == before[0]
    assert checksums({"edge": {**usual, "cacheSize": "2g"}})[1] != before[1]
    assert checksums({"edge": {**usual, "podNetworks": ["10.0.0.0/8"]}})[0] != before[0]


def test_clients_of_the_edge_keep_their_addresses_and_stay_with_one_pod() -> None:
    alone = one(rendered(MATRIX["edge"]), "Service", "demo-edge")["spec"]
    assert (alone["type"], alone["sessionAffinity"]) == ("ClusterIP", "ClientIP")
    assert "externalTrafficPolicy" not in alone
    usual = {"edge": {**MATRIX["edge"]["edge"], "service": {"type": "NodePort"}}}
    assert one(rendered(usual), "Service", "demo-edge")["spec"]["externalTrafficPolicy"] == "Local"
    # All clients of one balancer have its address: they are spread.
    far = one(rendered(MATRIX["edge behind a load balancer"]), "Service", "demo-edge")["spec"]
    assert (far["externalTrafficPolicy"], far.get("sessionAffinity")) == ("Cluster", None)


def test_the_notes_say_where_the_public_comes_in() -> None:
    assert "service/demo-edge" in notes(MATRIX["edge"])
    assert "edge" not in notes({})


def test_rights_are_in_the_whole_cluster_or_in_named_namespaces() -> None:
    assert {name for name in kinds_and_names({}) if "Role" in name} == {
        "ClusterRole/prod-demo-operator",
        "ClusterRoleBinding/prod-demo-operator",
    }
    roles = [d for d in rendered(MATRIX["some namespaces"]) if "Role" in d["kind"]]
    assert {(d["kind"], d["metadata"]["namespace"]) for d in roles} == {
        (kind, namespace) for kind in ("Role", "RoleBinding") for namespace in ("art", "film")
    }
    assert {subject["namespace"] for d in roles for subject in d.get("subjects", ())} == {"prod"}


def test_no_right_is_a_wildcard_and_secrets_are_never_read() -> None:
    rules = one(rendered({}), "ClusterRole", "prod-demo-operator")["rules"]
    assert all("*" not in value for rule in rules for values in rule.values() for value in values)
    (secrets,) = (rule for rule in rules if "secrets" in rule["resources"])
    assert secrets["verbs"] == ["create", "patch"]


def test_the_definition_is_kept_and_is_the_one_for_kubectl() -> None:
    chart = one(rendered({}), "CustomResourceDefinition", "modelpools.modelpool.dev")
    plain = yaml.safe_load((ROOT / "crds" / "modelpools.yaml").read_text())
    assert chart["spec"] == plain["spec"]
    assert chart["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_chart_has_the_versions_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


@each_values
def test_notes_give_the_next_three_commands(values: Values) -> None:
    text = notes(values)
    assert [number for number in ("\n1. ", "\n2. ", "\n3. ") if number in text] == ["\n1. ", "\n2. ", "\n3. "]
    namespace = values.get("operator", {}).get("namespaces", ["prod"])[0]
    assert f"kubectl apply -n {namespace} -f pool.yaml" in text
    port = values.get("api", {}).get("service", {}).get("port", 80)
    assert f"kubectl port-forward -n prod service/demo-api 8080:{port}" in text


# --- values ----------------------------------------------------------------------------------------------------------


def test_the_schema_is_one_and_the_values_keep_to_it() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)


ADMISSION = ("api", "admission")


def groups(schema: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Each object of values with known fields; the admission document has a schema of the API's own."""
    if "properties" in schema and place != ADMISSION:
        yield place, schema
        for name, inner in schema["properties"].items():
            yield from groups(inner, (*place, name))


def at(values: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        values = values[name]
    return values


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    helm = ("global",)
    for place, schema in groups(SCHEMA):
        assert set(schema["properties"]) - {"global" if not place else ""} == set(at(VALUES, place)), place
        assert schema["additionalProperties"] is False, place
        for name, inner in schema["properties"].items():
            if ("properties" not in inner or (*place, name) == ADMISSION) and (*place, name) != helm:
                assert inner["description"].endswith("."), (*place, name)


DOCUMENTS = re.findall(r"```yaml\n(profile: .*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(
    "document",
    [
        *DOCUMENTS,
        "{profile: local, plans: {paid: {burst: {burst: 9}}}}",
        "{profile: public, behaviour: {mode: off, record: {file: /tmp/x}, rapidPerMinute: null}}",
        "{profile: public, overload: {paid: 3, account: 1.5x, anonymous: null}, identity: {oidc: null}}",
        "{profile: public, identity: {trustedProxies: ['2001:db8::/32']}, cors: {allowedOrigins: ['*']}}",
    ],
)
def test_what_the_api_takes_for_an_admission_document_the_chart_takes_too(document: str) -> None:
    admission = yaml.safe_load(document)
    parse_policy(admission)
    written = one(rendered({"api": {"admission": admission}}), "ConfigMap", "demo-api")["data"]["admission.yaml"]
    assert parse_policy(yaml.safe_load(written)) == parse_policy(admission)


def test_the_documented_example_is_one() -> None:
    assert len(DOCUMENTS) == 1


def edge_values(**changes: Any) -> Values:
    """Values with an edge that differs from the usual one."""
    return {"edge": {**MATRIX["edge"]["edge"], **changes}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicas": 2}, "replicas"),
        ({"api": {"replica": 2}}, "replica"),
        ({"api": {"replicas": 0}}, "minimum"),
        ({"api": {"replicas": "two"}}, "integer"),
        ({"api": {"service": {"type": "External"}}}, "ClusterIP"),
        ({"api": {"admission": {"profile": "open"}}}, "public"),
        ({"api": {"admission": {"anonymous": {"cookies": 9}}}}, "cookies"),
        ({"api": {"admission": {"anonymous": {"cookie": "fifty"}}}}, "integer"),
        ({"api": {"admission": {"behaviour": {"answer": "ban"}}}}, "challenge"),
        ({"api": {"rootPath": "pool/"}}, "pattern"),
        ({"api": {"maxBodyBytes": 0}}, "minimum"),
        ({"images": {"operator": {"pullPolicy": "Sometimes"}}}, "IfNotPresent"),
        ({"images": {"api": {"digest": "latest"}}}, "sha256"),
        ({"images": {"worker": {"repository": ""}}}, "minLength"),
        ({"operator": {"namespaces": "art"}}, "array"),
        ({"operator": {"namespaces": ["Art"]}}, "pattern"),
        ({"operator": {"prometheusUrl": "prometheus:9090"}}, "https?"),
        ({"redis": {"enabled": "yes"}}, "boolean"),
        ({"redis": {"enabled": False, "url": "cache:6379"}}, "rediss"),
        ({"redis": {"persistence": {"size": "8GB"}}}, "pattern"),
        ({"redis": {"maxMemory": "640Mi"}}, "pattern"),
        ({"store": {"kind": "disk"}}, "volume"),
        ({"store": {"s3": {"url": "https://bucket"}}}, "s3://"),
        ({"crds": {"install": "no"}}, "boolean"),
        ({"models": {"persistence": {"accessModes": []}}}, "minItems"),
        ({"redis": {"enabled": False}}, "redis: set redis.url or redis.existingSecret.name, or redis.enabled=true"),
        ({"redis": {"url": "redis://cache:6379"}}, "set redis.enabled=false to use redis.url"),
        (
            {"redis": {"enabled": False, "url": "redis://cache:6379", "existingSecret": {"name": "cache"}}},
            "set redis.url or redis.existingSecret.name, not both",
        ),
        ({"api": {"maxBodiesBytes": 20_000_000}}, "maxBodiesBytes is less than twice maxBodyBytes"),
        ({"edge": {"enabled": True}}, "edge: set edge.podNetworks"),
        ({"edge": {"podNetworks": ["10.0.0.1"]}}, "pattern"),
        ({**edge_values(), "api": {"rootPath": "/pool"}}, "leave one of edge.enabled and api.rootPath out"),
        ({"edge": {"limits": {"generation": {"perSecond": 0.5}}}}, "integer"),
        ({"edge": {"limits": {"bodySize": "12Mi"}}}, "pattern"),
        (
            edge_values(limits={"key": {"perSecond": 5}}),
            "the plan paid of api.admission may take more at one moment than edge.limits.key lets through",
        ),
        (
            edge_values(limits={"keys": {"burst": 20}}),
            "the plan paid of api.admission may take more at one moment than edge.limits.keys lets through",
        ),
        (
            {
                **edge_values(limits={"key": {"burst": 500}, "keys": {"burst": 500}}),
                "api": {"admission": {"plans": {"studio": {"lane": "paid", "perDay": 9, "burst": {"burst": 500}}}}},
            },
            "the plan studio of api.admission may take more at one moment than edge.limits.everything lets through",
        ),
        ({"store": {"kind": "s3"}}, "store: kind s3 needs store.s3.url"),
        ({"store": {"kind": "volume"}}, "store: kind volume needs store.volume.existingClaim"),
    ],
)
def test_values_that_cannot_work_are_refused_with_the_reason(values: Values, words: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        rendered(values)
    assert words in str(refused.value)


def test_the_readme_has_every_value() -> None:
    script = Path(ROOT / "scripts" / "chart_readme.py")
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

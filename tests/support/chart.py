"""The chart as a real Helm renders it, without a cluster."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "charts" / "modelpool"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())

Values = dict[str, Any]

MATRIX: dict[str, Values] = {
    "default": {},
    "external redis": {"redis": {"enabled": False, "url": "rediss://:secret@cache.example:6380/0"}},
    "redis behind sentinel": {"redis": {"enabled": False, "url": "redis+sentinel://one:26379,two:26379/primary/0"}},
    "external redis in a secret": {"redis": {"enabled": False, "existingSecret": {"name": "cache", "key": "url"}}},
    "without volumes": {"redis": {"persistence": {"enabled": False}}, "store": {"persistence": {"enabled": False}}},
    "s3": {"store": {"kind": "s3", "s3": {"url": "s3://results/studio", "credentialsSecret": "aws"}}},
    "s3 in a secret": {"store": {"kind": "s3", "s3": {"existingSecret": {"name": "bucket", "key": "url"}}}},
    "shared volume": {"store": {"kind": "volume", "volume": {"existingClaim": "results"}}},
    "some namespaces": {"operator": {"namespaces": ["art", "film"]}},
    "edge": {"edge": {"enabled": True, "podNetworks": ["10.244.0.0/16"]}},
    "edge behind a load balancer": {
        "edge": {
            "enabled": True,
            "podNetworks": ["10.244.0.0/16", "fd00:10:244::/56"],
            "trustedProxies": ["192.0.2.0/24"],
            "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "annotations": {"internal": "no"}},
            "nodeSelector": {"pool": "front"},
        },
        "api": {
            "admission": {
                "identity": {"trustedProxies": ["10.9.0.0/16"], "cookie": {"name": "visitor"}},
                "cors": {"allowedOrigins": ["https://gallery.example"]},
            }
        },
    },
    "definition installed by others": {"crds": {"install": False}},
    "everything said": {
        "images": {
            "operator": {"repository": "registry.example/operator", "digest": "sha256:" + "0" * 64},
            "api": {"repository": "registry.example/api", "tag": "2", "pullPolicy": "Always"},
            "worker": {"repository": "registry.example/worker", "tag": "2-cuda"},
            "pullSecrets": ["registry"],
        },
        "operator": {
            "prometheusUrl": "http://prometheus.monitoring.svc:9090",
            "podAnnotations": {"team": "art"},
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "system", "operator": "Exists"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}]
                    }
                }
            },
            "priorityClassName": "system",
        },
        "api": {
            "replicas": 4,
            "admission": {"profile": "local"},
            "apiKeys": {"existingSecret": "keys", "key": "all.yaml"},
            "subjectSecret": {"existingSecret": "cookies", "key": "ring"},
            "adminToken": {"existingSecret": "office", "key": "token"},
            "rootPath": "/pool",
            "maxBodyBytes": 1_000_000,
            "maxInputPixels": 1_000_000,
            "logLevel": "warning",
            "accessLog": True,
            "service": {"type": "LoadBalancer", "port": 8000, "annotations": {"internal": "true"}},
        },
        "models": {"persistence": {"enabled": True, "storageClassName": "nfs"}},
    },
}
"""Values for which the chart is rendered and looked at."""


def rendered(values: Values, name: str = "demo", namespace: str = "prod") -> list[dict[str, Any]]:
    """Every object of the chart, hooks too.

    :raises helm_python.HelmError: Helm refuses the values or cannot render.
    """
    return [
        document
        for path, text in _files(values, name, namespace).items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document is not None
    ]


def notes(values: Values) -> str:
    """What ``helm install`` prints at the end."""
    return _files(values, "demo", "prod")["modelpool/templates/NOTES.txt"]


def _files(values: Values, name: str, namespace: str) -> dict[str, str]:
    return _rendered_once(json.dumps(values), name, namespace)


@cache
def _rendered_once(text: str, name: str, namespace: str) -> dict[str, str]:
    values = json.loads(text)
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        files: dict[str, str] = chart.render(values, name=name, namespace=namespace)
        return files


def pod_specs(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object that is or makes a pod, as Kind/name, with the pod's spec."""
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield name, document["spec"]
        elif "template" in document.get("spec", {}):
            yield name, document["spec"]["template"]["spec"]

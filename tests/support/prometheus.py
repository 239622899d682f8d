"""A Prometheus in the cluster that scrapes all pods of modelpool: for scenarios about demand."""

import json
from typing import Any

NAMESPACE = "monitoring"
PORT = 9090
URL = f"http://prometheus.{NAMESPACE}:{PORT}"
SCRAPE_SECONDS = 2
LABELS = {"app.kubernetes.io/name": "prometheus"}

# As a user's Prometheus would: by the labels that operator, API and workers carry, at the port that they call http.
CONFIGURATION: dict[str, Any] = {
    "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"},
    "scrape_configs": [
        {
            "job_name": "modelpool",
            # busybox, which serves samples in a test of this, names no content type.
            "fallback_scrape_protocol": "PrometheusText0.0.4",
            "kubernetes_sd_configs": [{"role": "pod"}],
            "relabel_configs": [
                {
                    "source_labels": [
                        "__meta_kubernetes_pod_label_app_kubernetes_io_name",
                        "__meta_kubernetes_pod_label_app_kubernetes_io_component",
                        "__meta_kubernetes_pod_container_port_name",
                    ],
                    "regex": "modelpool;(operator|api|worker);http",
                    "action": "keep",
                },
                {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
                {
                    "source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_component"],
                    "target_label": "component",
                },
            ],
        }
    ],
}


def prometheus(image: str) -> list[dict[str, Any]]:
    """All objects of a Prometheus with this image, its rights and its Service at `URL`. It keeps nothing when it ends."""
    rights = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    container = {
        "name": "prometheus",
        "image": image,
        "args": [
            "--config.file=/etc/modelpool/prometheus.yml",
            "--storage.tsdb.path=/data",
            f"--web.listen-address=0.0.0.0:{PORT}",
        ],
        "workingDir": "/data",
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/etc/modelpool"},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    template = {
        "metadata": {"labels": LABELS},
        "spec": {
            "serviceAccountName": "prometheus",
            "terminationGracePeriodSeconds": 5,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532},
            "containers": [container],
            "volumes": [
                {"name": "configuration", "configMap": {"name": "prometheus"}},
                {"name": "data", "emptyDir": {}},
            ],
        },
    }
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _named("v1", "ServiceAccount"),
        # JSON is YAML.
        _named("v1", "ConfigMap", data={"prometheus.yml": json.dumps(CONFIGURATION)}),
        _named(f"{rbac}/v1", "ClusterRole", rules=[rights]),
        _named(
            f"{rbac}/v1",
            "ClusterRoleBinding",
            roleRef={"apiGroup": rbac, "kind": "ClusterRole", "name": "prometheus"},
            subjects=[{"kind": "ServiceAccount", "name": "prometheus", "namespace": NAMESPACE}],
        ),
        _named(
            "apps/v1",
            "Deployment",
            spec={
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": LABELS},
                "template": template,
            },
        ),
        _named("v1", "Service", spec={"selector": LABELS, "ports": [{"port": PORT, "targetPort": PORT}]}),
    ]


def _named(version: str, kind: str, **rest: Any) -> dict[str, Any]:
    metadata = {"name": "prometheus", **({} if kind.startswith("Cluster") else {"namespace": NAMESPACE})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

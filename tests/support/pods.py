"""Small pods, for scenarios about the cluster itself."""

from typing import Any

BUSYBOX = "modelpool-test/busybox:1"
GPU = "nvidia.com/gpu"
SHOW_DEVICES = 'echo "$NVIDIA_VISIBLE_DEVICES"; exec sleep 3600'


def pod(
    name: str,
    script: str = SHOW_DEVICES,
    *,
    gpus: int = 0,
    node: str | None = None,
    memory: str = "64Mi",
    labels: dict[str, str] | None = None,
    port: int | None = None,
) -> dict[str, Any]:
    """A pod that runs a shell script, by default one that prints its GPUs' ids and stays; with `port`, ready when that answers over HTTP."""
    container: dict[str, Any] = {
        "name": "main",
        "image": BUSYBOX,
        "command": ["sh", "-c", script],
        "resources": {"limits": {"memory": memory, **({GPU: str(gpus)} if gpus else {})}},
    }
    if port:
        container["readinessProbe"] = {"httpGet": {"port": port, "path": "/"}, "periodSeconds": 1}
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
    }


def service(name: str, selector: dict[str, str], port: int) -> dict[str, Any]:
    """A Service on port 80 for the pods with these labels."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": port}]},
    }

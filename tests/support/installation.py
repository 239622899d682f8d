"""modelpool in a cluster as its users have it: the chart with our images, model files on a claim, pools, the API."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.helm import Helm
from cluster.kubectl import Kubectl, Object, holds
from support.reach import address_of

CHART = Path(__file__).parents[2] / "charts" / "modelpool"
DEFINITION = "modelpools.modelpool.dev"
HELM_NAMESPACE = "meta.helm.sh/release-namespace"
"""An annotation of Helm's: where the release is that an object belongs to."""
RELEASE = "modelpool"
CLAIM = f"{RELEASE}-models"
USER = 65532
LOG_LINES = 30


@dataclass
class Installation:
    """A release and its pools, all in one namespace. ``images`` is by part and service, ``values`` are the chart's."""

    kubectl: Kubectl
    helm: Helm
    images: Mapping[str, str]
    namespace: str
    values: Mapping[str, Any] = field(default_factory=dict)
    installed: bool = False
    began: float = 0.0
    """When it was installed first, by the monotonic clock."""

    def be_there(self, models: Path | None = None) -> None:
        """Install the chart and bring the models, unless that was done before. AssertionError says what is in the way."""
        if self.installed:
            return
        self.began = time.monotonic()
        try:
            self.install()
            if models is not None:
                self.bring_models(models)
        except ClusterError as error:
            raise AssertionError(f"{error}\n\n{self.describe()}") from error

    def install(self) -> str:
        """Install the chart, or upgrade it, and wait until all of it is ready. Returns Helm's notes."""
        values = {
            "images": {
                part: _image(self.images[image])
                for part, image in {
                    "operator": "operator",
                    "api": "api",
                    "worker": "worker",
                    "redis": "redis",
                    "store": "nginx",
                }.items()
            },
            "models": {"persistence": {"enabled": True, "size": "1Gi"}},
        }
        notes = self.helm.install(RELEASE, CHART, self.namespace, {**values, **self.values}, seconds=300)
        self.installed = True
        return notes

    def uninstall(self) -> str:
        """Uninstall the chart, or what a failed install left of it. Returns what Helm says of what it keeps."""
        self.installed = False
        return self.helm.uninstall(RELEASE, self.namespace)

    def end(self) -> None:
        """Leave nothing: its pools, the release, the namespace, and the definition if that came with the release."""
        if self.kubectl.find("customresourcedefinition", DEFINITION) is not None:
            self.kubectl.delete("modelpool", namespace=self.namespace)
        self.uninstall()
        self.kubectl.delete("namespace", self.namespace, seconds=300)
        if self.brings_definition:
            self.kubectl.delete("customresourcedefinition", DEFINITION)

    @property
    def brings_definition(self) -> bool:
        """Whether the chart installs what a ModelPool is."""
        found: bool = self.values["crds"]["install"]
        return found

    def bring_models(self, folder: Path) -> None:
        """Copy each model's folder to the models' claim, through a pod that has it."""
        self.kubectl.apply(_porter(self.images["api"]), namespace=self.namespace)
        self.kubectl("wait", "--for=condition=Ready", "pod/porter", *self._here, "--timeout=120s", seconds=150)
        for model in sorted(path for path in folder.iterdir() if path.is_dir()):
            self.kubectl("cp", str(model), f"{self.namespace}/porter:/models/", seconds=120)
        self.kubectl.delete("pod", "porter", namespace=self.namespace)

    def apply(self, pool: Object) -> None:
        """Create the pool, or make it what it shall be now."""
        self.kubectl.apply(pool, namespace=self.namespace)

    def pool(self, name: str) -> Object:
        """The pool with its status."""
        return self.kubectl.get("modelpool", name, self.namespace)

    def is_served(self, name: str) -> bool:
        """Whether the operator has acted on the pool as it is now, and all of it is ready."""
        pool = self.pool(name)
        seen = pool.get("status", {}).get("observedGeneration") == pool["metadata"]["generation"]
        return seen and holds(pool, "Ready")

    def workers(self, pool: str) -> list[Object]:
        """Its pods."""
        return self.kubectl.list("pods", self.namespace, {"modelpool.dev/pool": pool})

    @contextmanager
    def api(self, *, from_here: bool) -> Iterator[str]:
        """The URL of the API's Service; through a forwarded port unless Services can be reached from here."""
        if from_here:
            yield f"http://{address_of(self.kubectl, f'{RELEASE}-api', self.namespace)}"
            return
        process = self.kubectl.background("port-forward", f"service/{RELEASE}-api", ":80", *self._here)
        try:
            said = process.stdout.readline() if process.stdout else ""
            found = re.search(r"127\.0\.0\.1:\d+", said)
            if found is None:
                raise ClusterError(f"kubectl port-forward: {said}")
            yield f"http://{found[0]}"
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def describe(self) -> str:
        """What Kubernetes says of all of it: for a failure's report."""
        said = [
            self._try("get", "all,pvc,modelpools", "--output=wide"),
            self._try("describe", "modelpools"),
            self._try("get", "events", "--sort-by=.lastTimestamp"),
            self._try("logs", "deployment/modelpool-operator", f"--tail={LOG_LINES}"),
        ]
        for pod in self._troubled():
            name = f"pod/{pod}"
            said += [self._try("describe", name), self._try("logs", name, "--all-containers", f"--tail={LOG_LINES}")]
            said.append(self._try("logs", name, "--all-containers", "--previous", f"--tail={LOG_LINES}"))
        return "\n\n".join(said)

    @property
    def _here(self) -> list[str]:
        return [f"--namespace={self.namespace}"]

    def _troubled(self) -> list[str]:
        try:
            pods = self.kubectl.list("pods", self.namespace)
        except ClusterError:
            return []
        return [pod["metadata"]["name"] for pod in pods if not holds(pod, "Ready")]

    def _try(self, *arguments: str) -> str:
        try:
            return f"$ kubectl {' '.join(arguments)}\n{self.kubectl(*arguments, *self._here)}"
        except ClusterError as error:
            return str(error)


def in_one_line(pool: Object) -> str:
    """A pool's slots, for messages of tests."""
    gpus = pool.get("status", {}).get("gpus", [])
    return json.dumps([{key: gpu.get(key) for key in ("slot", "phase", "uuid", "hot", "reason")} for gpu in gpus])


@contextmanager
def prepared(
    kubectl: Kubectl,
    helm: Helm,
    images: Mapping[str, str],
    namespace: str,
    values: Mapping[str, Any],
    *,
    keep: bool = False,
) -> Iterator[Installation]:
    """A release that is to be, in a namespace that insists on the restricted level; without ``keep`` nothing outlives it.

    A definition that others have brought stays theirs.
    """
    kubectl.apply(_restricted(namespace))
    found = kubectl.find("customresourcedefinition", DEFINITION)
    ours = found is None or found["metadata"].get("annotations", {}).get(HELM_NAMESPACE) == namespace
    made = Installation(kubectl, helm, images, namespace, {"crds": {"install": ours}, **values})
    try:
        yield made
    finally:
        if not keep:
            made.end()


@contextmanager
def installed_apart(
    kubectl: Kubectl, helm: Helm, images: Mapping[str, str], namespace: str, values: Mapping[str, Any]
) -> Iterator[Installation]:
    """A release of its own without claims, whose operator is for its namespace alone; nothing outlives it."""
    without_claim = {"persistence": {"enabled": False}}
    own = {"operator": {"namespaces": [namespace]}, "redis": without_claim, "store": without_claim}
    with prepared(kubectl, helm, images, namespace, {**own, **values}) as made:
        made.be_there()
        yield made


def _restricted(namespace: str) -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}


def _image(name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}


def _porter(image: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "porter"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "porter",
                    "image": image,
                    "command": ["sleep", "infinity"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "models", "mountPath": "/models"}],
                }
            ],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}}],
        },
    }

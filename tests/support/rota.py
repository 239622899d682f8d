"""A small pool of simulated models in a cluster, what a person would look at there, and jobs for it.

Four slots and all three policies. The engine only waits, so a worker starts without torch: for scenarios about pods and moves.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.kubectl import Object, condition, holds
from modelpool_cli.api import FINAL_STATES, Api, Job
from support.installation import Installation
from support.kube_api import KubeApi
from support.traffic import Traffic
from support.waiting import block_until

T = TypeVar("T")

POOL = "rota"
PRIMARY = ("rota-primary-0", "rota-primary-1")
SECONDARY = "rota-secondary-0"
FILM = "rota-film-0"
SLOTS = (*PRIMARY, SECONDARY, FILM)
SECONDS = 240.0
POLL = 0.2
LOAD_SECONDS = 2.1


def simulated_model(name: str, **more: Any) -> Object:
    """A model that fills a slot and draws for less than half a second."""
    return {
        "name": name,
        "source": {"uri": f"file:///models/{name}"},
        "weights": "16Mi",
        "activations": "16Mi",
        "defaults": {"width": 64, "height": 64, "steps": 8},
        "limits": {"maxPixels": 4096, "maxSteps": 1000},
        "batch": {"max": 4},
        **more,
    }


def real_model(name: str, folder: str, *, size: str = "16Mi") -> Object:
    """A demonstration model from a folder of the model volume; it needs the real engine."""
    return {
        "name": name,
        "source": {"uri": f"file:///models/{folder}"},
        "weights": size,
        "activations": size,
        "defaults": {"width": 64, "height": 64, "steps": 4, "guidance": 3},
        "limits": {"maxPixels": 4096},
    }


_FILM = {
    "tasks": ["TextToVideo"],
    "defaults": {"width": 64, "height": 64, "steps": 8, "frames": 2},
    "limits": {"maxPixels": 4096, "maxSteps": 1000, "maxFrames": 8},
}


def rota_pool(name: str = POOL) -> Object:
    """The pool as each scenario finds it. A load takes a little longer than what is called fast, so that swaps ahead of demand pay."""
    tiers = [
        {"name": "primary", "policy": "Always", "slots": 2, "models": [simulated_model("base")]},
        {
            "name": "secondary",
            "policy": "Rotate",
            "slots": 1,
            "models": [simulated_model("red"), simulated_model("green")],
        },
        {
            "name": "film",
            "policy": "OnDemand",
            "slots": 1,
            "idleSeconds": 5,
            "models": [simulated_model("motion", **_FILM)],
        },
    ]
    return {
        "apiVersion": "modelpool.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "default": True,
            "gpu": {"vram": "40Mi"},
            "hostMemory": "1Mi",
            "workerOverhead": "256Mi",
            "tiers": tiers,
            "rebalance": {"intervalSeconds": 2, "minResidencySeconds": 5, "hysteresis": 2},
            "worker": {"device": "cpu", "podTemplate": simulated(f"load={LOAD_SECONDS},step=0.05")},
        },
    }


def simulated(timings: str) -> Object:
    """The pod template that makes workers simulate."""
    variables = {"MODELPOOL_ENGINE": "simulated", "MODELPOOL_SIMULATE": timings}
    environment = [{"name": name, "value": value} for name, value in variables.items()]
    return {"spec": {"containers": [{"name": "worker", "env": environment}]}}


def tier(pool: Object, name: str) -> Object:
    """One tier of a pool's document."""
    found: Object = next(tier for tier in pool["spec"]["tiers"] if tier["name"] == name)
    return found


def annotated(pool: Object, **annotations: str) -> Object:
    """The pool with these annotations on its pods: the least change of a template."""
    changed = copy.deepcopy(pool)
    changed["spec"]["worker"]["podTemplate"]["metadata"] = {"annotations": annotations}
    return changed


@dataclass(frozen=True)
class SlotPod:
    """A worker's pod, as far as scenarios ask."""

    uid: str
    restarts: int
    ready: bool
    going: bool
    image: str
    container: str
    node: str


@dataclass(frozen=True)
class Rota:
    """The pool in a cluster. ``url`` is the API's."""

    service: Installation
    kube: KubeApi
    url: str
    name: str = POOL

    # --- the resource ---------------------------------------------------------------------------------------------

    def apply(self, pool: Object) -> None:
        """Make the pool this."""
        self.service.apply(pool)

    def look(self) -> Object:
        """The resource with its status."""
        return self.kube.get(f"{self._pools}/{self.name}")

    def is_served(self) -> bool:
        """Whether the operator has acted on the pool as it is now, all of it is ready and nothing moves."""
        pool = self.look()
        seen = pool.get("status", {}).get("observedGeneration") == pool["metadata"]["generation"]
        return seen and holds(pool, "Ready") and not holds(pool, "Progressing") and not holds(pool, "Degraded")

    def until_served(self) -> Object:
        """The pool, when all of it is."""
        self.until("every slot of the pool serves, and nothing stands in the way", self.is_served)
        return self.look()

    def until(self, what: str, predicate: Callable[[], T], seconds: float = SECONDS) -> T:
        """What the predicate returns, as soon as that is true."""
        return block_until(predicate, seconds, POLL, what)

    def says(self, kind: str, *words: str, status: str = "True") -> Object | None:
        """The condition, when it has this status and its reason and message together hold all the words."""
        found = condition(self.look(), kind)
        text = f"{found['reason']}: {found['message']}" if found else ""
        return found if found and found["status"] == status and all(word in text for word in words) else None

    def slot(self, name: str) -> Object:
        """What the status says of a slot; empty while it says nothing."""
        return _named("slot", name, self.look().get("status", {}).get("gpus", []))

    def model(self, name: str) -> Object:
        """What the status says of a model; empty while it says nothing."""
        return _named("name", name, self.look().get("status", {}).get("models", []))

    def events(self, since: Iterable[Object] = ()) -> list[Object]:
        """What was told of the pool, oldest first, without those of ``since``."""
        known = {event["metadata"]["uid"] for event in since}
        path = f"/apis/events.k8s.io/v1/namespaces/{self.service.namespace}/events"
        found = self.kube.items(path, fieldSelector=f"regarding.name={self.name}")
        return sorted((e for e in found if e["metadata"]["uid"] not in known), key=lambda e: e["eventTime"] or "")

    # --- the API --------------------------------------------------------------------------------------------------

    def replicas(self) -> list[Object]:
        """The API's pods that are ready, without those that are on their way out."""
        found = self.kube.items(self._core("pods"), labelSelector="app.kubernetes.io/component=api")
        return [pod for pod in found if holds(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]]

    def offers(self, model: str) -> list[bool]:
        """By replica of the API, whether users can ask it for the model: each reads the catalog for itself."""
        return [model in self._offered(f"http://{pod['status']['podIP']}:8080") for pod in self.replicas()]

    def _offered(self, url: str) -> set[str]:
        with Api(url) as api:
            return {found["id"] for found in api.models()}

    # --- its pods -------------------------------------------------------------------------------------------------

    def pods(self) -> dict[str, SlotPod]:
        """The workers' pods by the name of their slot."""
        found = self.kube.items(self._core("pods"), labelSelector=f"modelpool.dev/pool={self.name}")
        return {pod["metadata"]["name"]: _slot_pod(pod) for pod in found}

    def lives(self) -> dict[str, tuple[str, int]]:
        """By slot: its pod and how often that was restarted. Equal to an earlier answer: no worker was disturbed."""
        return {name: (pod.uid, pod.restarts) for name, pod in self.pods().items()}

    def loads(self, model: str) -> dict[str, int]:
        """By slot, how often its worker has made the model hot, as its log says; slots that never did are left out."""
        found = {name: sum(_is_load(line, model) for line in self._log(name)) for name in self.pods()}
        return {name: count for name, count in found.items() if count}

    def _log(self, pod: str) -> list[str]:
        return self.service.kubectl.logs(pod, self.service.namespace).splitlines()

    # --- jobs -----------------------------------------------------------------------------------------------------

    @contextmanager
    def api(self) -> Iterator[Api]:
        """A client of the API."""
        with Api(self.url) as client:
            yield client

    def submit(self, model: str, **more: Any) -> Job:
        """A new job."""
        with self.api() as api:
            return api.submit({"model": model, "prompt": "a small boat", "seed": "random", **more})

    def job(self, job: Job) -> Job:
        """The job as it is now."""
        with self.api() as api:
            return api.job(job["id"])

    def ended(self, job: Job, seconds: float = 60) -> Job:
        """The job, when it has ended."""
        self.until(f"the job of {job['model']} has ended", lambda: self.job(job)["state"] in FINAL_STATES, seconds)
        return self.job(job)

    def made(self, model: str, seconds: float = 60, **more: Any) -> Job:
        """A new job, when it has ended well."""
        job = self.ended(self.submit(model, **more), seconds)
        assert job["state"] == "succeeded", job
        return job

    def traffic(self, *models: str, pause: float = 0.4) -> Traffic:
        """Jobs for these models, one after the other; see Traffic."""
        return Traffic(self.url, models or ("base",), pause)

    def _core(self, kind: str) -> str:
        return f"/api/v1/namespaces/{self.service.namespace}/{kind}"

    @property
    def _pools(self) -> str:
        return f"/apis/modelpool.dev/v1alpha1/namespaces/{self.service.namespace}/modelpools"


def notes(events: Iterable[Object]) -> list[str]:
    """Events as ``reason: note``."""
    return [f"{event['reason']}: {event.get('note', '')}" for event in events]


def _is_load(line: str, model: str) -> bool:
    entry = json.loads(line) if line.startswith("{") else {}
    what = (entry.get("message"), entry.get("model"), entry.get("to"), entry.get("failed"))
    return what == ("moved", model, "hot", False)


def _named(key: str, name: str, found: Iterable[Object]) -> Object:
    return next((one for one in found if one[key] == name), {})


def _slot_pod(pod: Mapping[str, Any]) -> SlotPod:
    status: Object = next(iter(pod["status"].get("containerStatuses") or ()), {})
    return SlotPod(
        uid=pod["metadata"]["uid"],
        restarts=status.get("restartCount", 0),
        ready=holds(dict(pod), "Ready"),
        going="deletionTimestamp" in pod["metadata"],
        image=pod["spec"]["containers"][0]["image"],
        container=status.get("containerID", "").removeprefix("containerd://"),
        node=pod["spec"].get("nodeName", ""),
    )

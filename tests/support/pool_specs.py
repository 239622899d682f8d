"""Pools as a cluster has them, for the operator's tests."""

from textwrap import dedent
from typing import Any

import yaml

from modelpool.resources.load import parse_pool
from modelpool.resources.spec import ModelPool
from modelpool_operator.cluster.port import MODEL_POOL, Manifest
from modelpool_operator.runtimes.pods.overlay import overlay

CLUSTER_POOL = dedent("""\
    apiVersion: modelpool.dev/v1alpha1
    kind: ModelPool
    metadata: {name: studio, namespace: art}
    spec:
      gpu: {vram: 24Gi, nodeLostSeconds: 45}
      hostMemory: 2Gi
      workerOverhead: 1Gi
      tiers:
      - name: primary
        policy: Always
        slots: 2
        models:
        - {name: flat, source: {uri: "file:///models/flat"}, weights: 12Gi, activations: 4Gi}
      - name: secondary
        policy: Rotate
        slots: 1
        models:
        - {name: neon, source: {uri: "file:///models/neon"}, weights: 14Gi, activations: 4Gi}
    """)


def document(**spec: Any) -> Manifest:
    """The pool above with ``spec`` laid over it."""
    made: Manifest = overlay(yaml.safe_load(CLUSTER_POOL), {"spec": spec})
    return made


def cluster_pool(**spec: Any) -> ModelPool:
    """The same, parsed."""
    return parse_pool(yaml.safe_dump(document(**spec)), "test")


def pool_object(**spec: Any) -> Manifest:
    """The same, as it is created at an API server."""
    return {"apiVersion": MODEL_POOL.api_version, "kind": MODEL_POOL.name, **document(**spec)}

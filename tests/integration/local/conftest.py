"""Pools for the supervisor's tests."""

from pathlib import Path

import pytest

TRIO = """\
apiVersion: modelpool.dev/v1alpha1
kind: ModelPool
metadata: {name: trio}
spec:
  default: true
  gpu: {vram: 40Mi}
  hostMemory: 64Mi
  workerOverhead: 64Mi
  worker: {device: cpu}
  rebalance: {intervalSeconds: 2}
  tiers:
  - name: primary
    policy: Always
    slots: 2
    models:
    - &model
      name: steady
      source: {uri: "file:///models/steady"}
      weights: 16Mi
      activations: 16Mi
      defaults: {width: 64, height: 64, steps: 4, guidance: 3}
      limits: {maxPixels: 16384, sizeMultiple: 8}
      batch: {max: 8}
      secondsPerMegapixelStep: 1.5
  - name: secondary
    policy: Rotate
    slots: 1
    models:
    - {<<: *model, name: first, source: {uri: "file:///models/first"}}
    - {<<: *model, name: second, source: {uri: "file:///models/second"}}
"""


@pytest.fixture
def small() -> Path:
    """One slot, one model."""
    return Path(__file__).parents[3] / "examples" / "small.yaml"


@pytest.fixture
def trio(tmp_path: Path) -> Path:
    """Three slots and three models, two of which take turns on one slot."""
    file = tmp_path / "trio.yaml"
    file.write_text(TRIO)
    return file

"""Models that come as an image instead of a volume: the node mounts it, read-only, where workers look for models."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import Cluster
from cluster.images import DOCKERFILES, ImageStore
from cluster.layout import NODES
from support.rota import Rota, real_model, rota_pool
from support.waiting import block_until

Record = Callable[[str, object], None]
MODELS = Path(__file__).parents[2] / "models"
IMAGE = "docker.io/modelpool-test/models:1"
SLOT = "packed-only-0"


@pytest.fixture(scope="module")
def model_image(cluster: Cluster, image_store: ImageStore | None) -> str:
    """An image that holds one demonstration model, on the first node."""
    assert image_store is not None
    image_store.build(IMAGE, DOCKERFILES / "models.Dockerfile", MODELS)
    cluster.nodes[NODES[0]].bring(image_store.find(IMAGE))
    return IMAGE


@pytest.mark.budget(60)
def test_a_picture_is_made_by_a_model_from_an_image_that_nobody_can_write_to(rota: Rota, model_image: str) -> None:
    pool = Rota(rota.service, rota.kube, rota.url, "packed")
    document = rota_pool("packed")
    document["spec"] |= {
        "default": False,
        "modelVolume": {"image": {"reference": model_image}},
        "tiers": [{"name": "only", "policy": "Always", "slots": 1, "models": [real_model("flat", "shapes-flat")]}],
        "worker": {"device": "cpu", "resources": {"limits": {"memory": "1Gi"}}},
    }
    pool.apply(document)
    try:
        pool.until_served()
        assert pool.made("packed/flat")["result"]["url"]
        mount = "import os; print(sorted(os.listdir('/models')), os.statvfs('/models').f_flag & os.ST_RDONLY)"
        command = ("/opt/modelpool/bin/python", "-c", mount)
        said = rota.service.kubectl.execute(SLOT, rota.service.namespace, *command)
        assert said.strip() == "['shapes-flat'] 1"
    finally:
        rota.service.kubectl.delete("modelpool", "packed", namespace=rota.service.namespace)
        block_until(lambda: not pool.pods(), 60, 0.2, "its pods are gone")

"""GPUs by Dynamic Resource Allocation: what is asked of the cluster, and what its scheduler answers. There is no driver here."""

import pytest

from support.rota import Rota, rota_pool, simulated_model
from support.waiting import block_until


@pytest.mark.budget(40)
def test_slots_claim_devices_by_a_template_and_tell_the_scheduler_s_reason_for_waiting(rota: Rota) -> None:
    pool = Rota(rota.service, rota.kube, rota.url, "claims")
    document = rota_pool("claims")
    document["spec"] |= {
        "default": False,
        "gpu": {
            "vram": "40Mi",
            "mode": "ResourceClaim",
            "claim": {"deviceClassName": "gpu.example.com", "selectors": ["device.driver == 'gpu.example.com'"]},
        },
        "tiers": [{"name": "only", "policy": "Always", "slots": 1, "models": [simulated_model("claimed")]}],
    }
    pool.apply(document)
    try:
        pool.until(
            "the slot waits with the scheduler's reason",
            lambda: "gpu.example.com" in pool.slot("claims-only-0").get("reason", ""),
        )
        assert pool.slot("claims-only-0")["phase"] == "Pending"
        templates = pool.kube.items(
            f"/apis/resource.k8s.io/v1/namespaces/{rota.service.namespace}/resourceclaimtemplates"
        )
        [request] = [request for found in templates for request in found["spec"]["spec"]["devices"]["requests"]]
        assert request["exactly"]["deviceClassName"] == "gpu.example.com"
        assert request["exactly"]["selectors"][0]["cel"]["expression"] == "device.driver == 'gpu.example.com'"
        [pod] = pool.service.workers("claims")
        assert pod["spec"]["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
        assert "nvidia.com/gpu" not in pod["spec"]["containers"][0]["resources"]["limits"]
    finally:
        rota.service.kubectl.delete("modelpool", "claims", namespace=rota.service.namespace)
        block_until(lambda: not pool.pods(), 60, 0.2, "its pods are gone")

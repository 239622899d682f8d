"""A custom resource is followed; what cannot work is not put into force."""

from typing import Any

import pytest

from modelpool.errors import InvalidSpec
from modelpool_operator.cluster.port import Manifest
from modelpool_operator.sources.resource import PoolResource
from support.pool_specs import document


def resource(generation: int = 1, uid: str = "u", epoch: int | None = None, **spec: Any) -> Manifest:
    made = document(**spec)
    made["metadata"] |= {"generation": generation, "uid": uid}
    return made if epoch is None else {**made, "status": {"epoch": epoch}}


class Followed:
    def __init__(self) -> None:
        self.now: Manifest | None = resource()
        self.source = PoolResource(resource(), lambda: self.now)


def test_each_generation_is_read_once() -> None:
    followed = Followed()
    assert not followed.source.refresh()
    followed.now = resource(2, targetSeconds=20)
    assert followed.source.refresh()
    assert followed.source.pool.spec.target_seconds == 20
    assert followed.source.pool.metadata.generation == 2
    assert not followed.source.refresh()


def test_an_edit_that_got_past_the_api_servers_rules_leaves_the_last_good_one_in_force() -> None:
    followed = Followed()
    followed.now = resource(2, gpu={"vram": "1Gi"})
    assert followed.source.refresh()
    assert followed.source.problem is not None
    assert followed.source.problem.startswith("art/studio: spec.tiers[0].models[0].weights: 'flat' needs 16Gi")
    assert followed.source.pool.spec.gpu.vram == "24Gi"
    followed.now = resource(3)
    assert followed.source.refresh()
    assert followed.source.problem is None


def test_the_first_version_must_be_able_to_work() -> None:
    with pytest.raises(InvalidSpec, match="art/studio: "):
        PoolResource(resource(gpu={"vram": "1Gi"}), lambda: None)


def test_the_epoch_of_the_status_is_remembered_at_its_highest() -> None:
    followed = Followed()
    assert followed.source.epoch == 0
    for recorded, remembered in ((3, 3), (2, 3), (None, 3), (5, 5)):
        followed.now = resource(epoch=recorded)
        followed.source.refresh()
        assert followed.source.epoch == remembered


def test_a_successor_of_the_same_name_is_another_pool() -> None:
    followed = Followed()
    followed.now = resource(7, uid="other", targetSeconds=20)
    assert not followed.source.refresh()
    assert followed.source.pool.spec.target_seconds == 10


def test_a_pool_that_is_gone_stays_as_it_was() -> None:
    followed = Followed()
    followed.now = None
    assert not followed.source.refresh()

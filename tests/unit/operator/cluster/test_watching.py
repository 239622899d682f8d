"""How the cluster is watched."""

import kopf

from modelpool_operator.cluster.watching import BACKOFFS, _settings


def test_an_api_server_that_is_back_after_long_is_seen_again_within_seconds() -> None:
    backoffs = list(BACKOFFS)
    assert _settings().networking.error_backoffs == BACKOFFS
    assert max(backoffs) <= 5
    assert sum(backoffs) >= 3600


def test_an_object_that_is_seen_is_not_copied_to_find_out_what_has_changed() -> None:
    body = kopf.Body({"metadata": {"name": "studio"}, "spec": {"tiers": []}})
    storage = _settings().persistence.diffbase_storage
    assert storage.fetch(body=body) is None
    assert storage.build(body=body) == {}

"""How the cluster is watched."""

from modelpool_operator.cluster.watching import BACKOFFS, _settings


def test_an_api_server_that_is_back_after_long_is_seen_again_within_seconds() -> None:
    backoffs = list(BACKOFFS)
    assert _settings().networking.error_backoffs == BACKOFFS
    assert max(backoffs) <= 5
    assert sum(backoffs) >= 3600

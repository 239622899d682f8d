"""What a process is told, as far as it has to go together."""

from __future__ import annotations

import pytest

from modelpool.errors import InvalidInput
from modelpool_api.settings import Settings


def test_the_largest_body_has_room_in_what_one_network_has_of_all() -> None:
    assert Settings(max_body_bytes=500, max_bodies_bytes=1_000).max_bodies_bytes == 1_000
    with pytest.raises(InvalidInput, match="raise --max-bodies-bytes or lower --max-body-bytes") as refused:
        Settings(max_body_bytes=501, max_bodies_bytes=1_000)
    assert refused.value.param == "maxBodiesBytes"

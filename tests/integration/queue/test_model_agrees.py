"""The queue in Redis does what its model in plain Python says, whatever happens. `make prove-queue` is the long run."""

import os

import pytest

from support import RedisProcess
from support.queue_machine import drive

EXAMPLES = int(os.environ.get("QUEUE_EXAMPLES", "25"))
"""Per kind of Redis."""


@pytest.mark.timeout(120 + 2 * EXAMPLES)
def test_redis_and_the_model_agree(redis_kind: RedisProcess) -> None:
    done = drive(redis_kind.url, EXAMPLES)
    assert done["examples"] >= EXAMPLES
    assert done["operations"] > 10 * done["examples"]
    assert done["enqueued together"] > done["examples"]

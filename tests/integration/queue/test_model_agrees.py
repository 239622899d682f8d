"""The queue in Redis does what its model in plain Python says, whatever happens."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from modelpool.queue.connection import connect
from support import RedisProcess
from support.queue_machine import QueueMachine

EXAMPLES = int(os.environ.get("QUEUE_EXAMPLES", "25"))
"""Per kind of Redis; a long run sets thousands."""


@pytest.mark.timeout(120 + 2 * EXAMPLES)
def test_redis_and_the_model_agree(redis_kind: RedisProcess) -> None:
    with asyncio.Runner() as runner:
        client = runner.run(connect(redis_kind.url))

        class Machine(QueueMachine):
            pass

        Machine.runner, Machine.client = runner, client
        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(client.aclose())

"""Who is served next where several models share a slot."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelpool.queue.model import QueueModel
from modelpool.queue.port import HotModel
from support.queues import new_job

MODELS = ("flux", "kiln", "sdxl")
USERS = ("ann", "bob", "cat")

asked = st.tuples(
    st.just("ask"),
    st.sampled_from(MODELS),
    st.sampled_from(USERS),
    st.sampled_from([0.5, 1.0, 1.0, 7.0]),
    st.integers(1, 6),
)
claimed = st.tuples(
    st.just("claim"), st.sets(st.sampled_from(MODELS), min_size=1).map(sorted), st.integers(1, 3), st.none(), st.none()
)


@settings(max_examples=300)
@given(st.lists(asked | claimed, max_size=60), st.sampled_from(MODELS), st.integers(1, 3))
def test_a_newcomer_waits_for_at_most_one_batch_of_anybody_of_each_model(
    before: list[tuple[str, Any, Any, Any, Any]], model: str, cap: int
) -> None:
    queue = QueueModel("testpool")
    for number, (what, which, user, work, times) in enumerate(before):
        if what == "ask":
            for _ in range(times):
                queue.enqueue(new_job(which, subject=user, work=work), 0)
        else:
            queue.claim(f"lease{number}", "slot", [HotModel(name, user) for name in which], 0)
    newcomer = queue.enqueue(new_job(model, subject="newcomer"), 0).record.id
    waited: Counter[tuple[str, str]] = Counter()
    for number in range(6 * len(before) + 1):
        batch = queue.claim(f"later{number}", "slot", [HotModel(name, cap) for name in MODELS], 0)
        assert batch is not None
        if any(job.id == newcomer for job in batch.jobs):
            break
        waited[batch.model, queue.get(batch.jobs[0].id).subject] += 1
    assert all(count <= 1 for count in waited.values()), waited

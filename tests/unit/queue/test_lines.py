"""Who is served next where several models share a slot."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from modelpool.queue.model import QueueModel
from modelpool.queue.port import HotModel
from support.queues import new_job

MODELS = ("flux", "kiln", "sdxl")
USERS = ("ann", "bob", "cat")

asked = st.tuples(st.just("ask"), st.sampled_from(MODELS), st.sampled_from(USERS))
claimed = st.tuples(st.just("claim"), st.sets(st.sampled_from(MODELS), min_size=1).map(sorted), st.none())


@settings(max_examples=300)
@given(st.lists(asked | claimed, max_size=60), st.sampled_from(MODELS))
def test_a_newcomer_waits_for_at_most_one_job_of_anybody_in_its_line_and_two_in_those_of_other_models(
    before: list[tuple[str, str, str]], model: str
) -> None:
    queue = QueueModel("testpool")
    for number, (what, which, user) in enumerate(before):
        if what == "ask":
            queue.enqueue(new_job(which, subject=user), 0)
        else:
            queue.claim(f"lease{number}", "slot", [HotModel(name, 1) for name in which], 0)
    newcomer = queue.enqueue(new_job(model, subject="newcomer"), 0).record.id
    waited: Counter[tuple[str, bool]] = Counter()
    for number in range(len(before) + 1):
        batch = queue.claim(f"later{number}", "slot", [HotModel(name, 1) for name in MODELS], 0)
        assert batch is not None
        (job,) = batch.jobs
        if job.id == newcomer:
            break
        ahead = queue.get(job.id)
        waited[ahead.subject, ahead.model == model] += 1
    assert all(count <= (1 if its_own else 2) for (_, its_own), count in waited.items()), waited

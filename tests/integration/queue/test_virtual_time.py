"""Where a new job starts in virtual time: at V, how far the heads of its line have come, or when its user's last is done."""

from modelpool.jobs import Lane, NewJob
from modelpool.queue.fake import FakeQueue
from modelpool.queue.port import HotModel, Queue
from modelpool.queue.redis import RedisQueue
from support.queues import POOL, Worker, new_job

ANN, BOB = {"subject": "ann"}, {"subject": "bob"}


async def start(queue: Queue, job: NewJob) -> float:
    """Enqueue a job; its virtual start time."""
    await queue.enqueue(job)
    if isinstance(queue, FakeQueue):
        return queue.model.job(job.id).tag
    assert isinstance(queue, RedisQueue)
    return float(str(await queue.client.hget(POOL.key("job", job.id), "tag")))


def free(model: str = "flux", **fields: object) -> NewJob:
    return new_job(model, Lane.ANONYMOUS, **fields)  # type: ignore[arg-type]


async def come_to(queue: Queue, tag: int, model: str = "flux", lane: Lane = Lane.ANONYMOUS) -> None:
    """A line whose last claimed head started at ``tag``, and which is empty now."""
    for work in (tag, 1):
        await queue.enqueue(new_job(model, lane, subject=f"{model} {lane.value}", work=work))
    for _ in range(2):
        await Worker(queue, HotModel(model, 1)).claim()


async def test_an_untouched_line_starts_at_nothing(queue: Queue) -> None:
    assert await start(queue, free(**ANN)) == 0


async def test_a_user_starts_when_the_job_before_would_be_done(queue: Queue) -> None:
    assert [await start(queue, free(**ANN, work=work)) for work in (4, 2, 1)] == [0, 4, 6]


async def test_a_newcomer_starts_where_the_heads_have_come_to(queue: Queue) -> None:
    await come_to(queue, 40)
    assert await start(queue, free(**BOB)) == 40


async def test_a_job_that_is_queued_moves_nothing(queue: Queue) -> None:
    for _ in range(3):
        await start(queue, free(**ANN, work=5))
    assert await start(queue, free("sdxl", **BOB)) == 0


async def test_all_models_of_a_line_share_one_virtual_time(queue: Queue) -> None:
    await come_to(queue, 40)
    assert await start(queue, free("sdxl", **BOB)) == 40


async def test_the_two_lines_have_a_virtual_time_each(queue: Queue) -> None:
    await come_to(queue, 40)
    assert await start(queue, new_job(lane=Lane.PAID, subject="carl")) == 0
    await come_to(queue, 20, model="sdxl", lane=Lane.PAID)
    assert await start(queue, new_job("flux", Lane.PAID, subject="dora", work=9)) == 0, "behind carl"
    assert await start(queue, new_job("sdxl", Lane.PAID, subject="emil")) == 20
    assert await start(queue, free(**BOB)) == 40


async def test_a_batch_mate_moves_nothing(queue: Queue) -> None:
    for steps in (9, 4, 9, 4):
        await queue.enqueue(free(**ANN, work=5, steps=steps))
    await Worker(queue, HotModel("flux", 1)).claim()
    assert len((await Worker(queue, "flux").claim()).jobs) == 2, "those at 5 and 15"
    assert await start(queue, free("sdxl", **BOB)) == 5


async def test_a_free_job_in_a_paid_batch_moves_nothing(queue: Queue) -> None:
    await come_to(queue, 40)
    for job in (free(**ANN, work=7), free(**ANN), new_job(lane=Lane.PAID, subject="paid")):
        await queue.enqueue(job)
    assert len((await Worker(queue, "flux").claim()).jobs) == 3
    assert await start(queue, free("sdxl", **BOB)) == 40
    assert await start(queue, new_job("sdxl", Lane.PAID, subject="carl")) == 0


async def test_it_never_goes_back(queue: Queue) -> None:
    await queue.enqueue(free(**ANN, id="first", work=40))
    early = await Worker(queue, HotModel("flux", 1)).claim()
    await queue.enqueue(free(**ANN))
    await Worker(queue, HotModel("flux", 1)).claim()
    await queue.release(early.lease, ["first"])
    assert (await Worker(queue, HotModel("flux", 1)).claim()).jobs[0].id == "first", "which starts at 0"
    assert await start(queue, free(**BOB)) == 40


async def test_who_owes_more_starts_later(queue: Queue) -> None:
    await come_to(queue, 40)
    assert [await start(queue, free(**BOB, work=3)) for _ in range(2)] == [40, 43]


async def test_nobody_starts_after_the_head_of_a_line_that_stood_still(queue: Queue) -> None:
    await start(queue, free("cold", **ANN, work=15))
    await start(queue, free("cold", **ANN))
    await Worker(queue, HotModel("cold", 1)).claim()  # the next one there starts at 15
    await come_to(queue, 40)
    assert await start(queue, free("cold", **BOB)) == 15
    assert await start(queue, free("flux", subject="carl")) == 40


async def test_who_starts_early_behind_an_old_job_owes_as_if_on_time(queue: Queue) -> None:
    await queue.enqueue(free(**ANN, id="old"))
    early = await Worker(queue, HotModel("flux", 1)).claim()
    await come_to(queue, 40)
    await queue.release(early.lease, ["old"])
    assert [await start(queue, free(**BOB, work=3)) for _ in range(3)] == [0, 43, 46]

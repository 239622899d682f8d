"""Commands of many callers travel together, and each caller gets the answer to its own."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from modelpool.queue.pipelining import Pipelining


async def round_trips(client: Redis) -> int:
    return int((await client.info("stats"))["total_reads_processed"])


async def test_everybody_gets_their_own_answer(client: Redis) -> None:
    pipelining = Pipelining(client)
    answers = await asyncio.gather(*(pipelining.send("ECHO", f"{number}") for number in range(500)))
    assert answers == [f"{number}" for number in range(500)]


async def test_what_is_asked_together_goes_in_few_round_trips(client: Redis) -> None:
    pipelining = Pipelining(client)

    async def caller() -> None:
        for _ in range(10):
            await pipelining.send("PING")

    await caller()
    before = await round_trips(client)
    await asyncio.gather(*(caller() for _ in range(30)))
    assert await round_trips(client) - before < 100, "300 commands"


async def test_many_callers_keep_two_pipelines_under_way(client: Redis) -> None:
    pipelining = Pipelining(client)

    async def caller() -> None:
        for _ in range(10):
            await pipelining.send("PING")

    await asyncio.gather(*(caller() for _ in range(30)))
    assert len(await client.client_list()) == 2


async def test_an_error_reaches_only_the_one_who_asked_for_it(client: Redis) -> None:
    pipelining = Pipelining(client)
    answers: tuple[Any, ...] = await asyncio.gather(
        pipelining.send("ECHO", "before"),
        pipelining.send("NONSENSE"),
        pipelining.send("ECHO", "after"),
        return_exceptions=True,
    )
    assert isinstance(answers[1], ResponseError)
    assert (answers[0], answers[2]) == ("before", "after")


@pytest.mark.parametrize("word", [None, object(), "\ud800"])
async def test_what_cannot_be_sent_fails_only_the_one_who_asked_for_it(client: Redis, word: Any) -> None:
    pipelining = Pipelining(client)
    script = await client.script_load("local all = {} for i = 2, #ARGV, 2 do all[#all + 1] = ARGV[i] end return all")
    head = ("EVALSHA", script, 0)
    answers: tuple[Any, ...] = await asyncio.gather(
        pipelining.send("ECHO", "before"),
        pipelining.send("ECHO", word),
        pipelining.send("ECHO", "after"),
        pipelining.send_together(head, ("one",)),
        pipelining.send_together(head, (word,)),
        pipelining.send_together(head, ("other",)),
        return_exceptions=True,
    )
    assert isinstance(answers[1], TypeError | UnicodeError)
    assert isinstance(answers[4], TypeError | UnicodeError)
    assert (answers[0], answers[2], answers[3], answers[5]) == ("before", "after", "one", "other")


@pytest.mark.parametrize("answer", ["'one for all'", "{'more', 'than', 'there', 'are', 'callers'}", "false"])
async def test_a_script_that_does_not_answer_each_is_an_error_to_all_of_them_and_to_nobody_else(
    client: Redis, answer: str
) -> None:
    pipelining = Pipelining(client)
    script = await client.script_load(f"return {answer}")
    answers: list[Any] = await asyncio.gather(
        *(pipelining.send_together(("EVALSHA", script, 0), (f"{number}",)) for number in range(4)),
        pipelining.send("ECHO", "other"),
        return_exceptions=True,
    )
    assert [type(each) for each in answers[:4]] == [ResponseError] * 4
    assert answers[4] == "other"


async def test_a_caller_that_is_cancelled_holds_up_nobody(client: Redis) -> None:
    pipelining = Pipelining(client)
    gone, other = (asyncio.create_task(pipelining.send("ECHO", name)) for name in ("gone", "other"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await other == "other"
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await pipelining.send("ECHO", "next") == "next"


async def test_when_redis_is_away_every_caller_hears_of_it() -> None:
    client = Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    pipelining = Pipelining(client)
    answers = await asyncio.gather(*(pipelining.send("PING") for _ in range(3)), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["ConnectionError"] * 3
    await client.aclose()


async def test_an_answer_that_is_no_text_fails_nobody_who_travels_along(client: Redis) -> None:
    await client.set("damaged", b"\xff")
    pipelining = Pipelining(client)
    names = ["other", "damaged", "other", "damaged", "other", "other"]
    answers = await asyncio.gather(*(pipelining.send("GET" if name == "damaged" else "ECHO", name) for name in names))
    assert answers == ["\ufffd" if name == "damaged" else name for name in names]

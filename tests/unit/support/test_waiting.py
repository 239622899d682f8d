import pytest

from support import block_until, wait_until


def countdown(start: int) -> list[int]:
    return list(range(start))


async def test_wait_until_returns_the_first_true_value() -> None:
    values = countdown(3)
    assert await wait_until(lambda: not values or values.pop() == 0, interval=0) is True


async def test_wait_until_awaits_an_async_predicate() -> None:
    values = ["", "", "ready"]

    async def next_value() -> str:
        return values.pop(0)

    assert await wait_until(next_value, interval=0) == "ready"


async def test_wait_until_names_the_predicate_and_its_last_value_when_it_gives_up() -> None:
    def number_of_jobs() -> int:
        return 0

    with pytest.raises(AssertionError, match=r"number_of_jobs was not true within 0 s; it last returned 0"):
        await wait_until(number_of_jobs, timeout=0)


def test_block_until_gives_up_as_wait_until_does() -> None:
    with pytest.raises(AssertionError, match="not true within"):
        block_until(lambda: None, timeout=0)


def test_what_was_awaited_is_told_in_the_words_that_were_given() -> None:
    with pytest.raises(AssertionError, match=r"^'the pool is served' was not true within 0 s; it last returned False$"):
        block_until(lambda: False, timeout=0, what="the pool is served")

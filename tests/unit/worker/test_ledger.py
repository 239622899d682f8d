from __future__ import annotations

import pytest

from modelpool.documents import Spent
from modelpool_worker.ledger import Ledger


class Book:
    """A ledger and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ledger = Ledger(lambda: self.now)


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_slot_that_has_done_nothing_has_spent_nothing(book: Book) -> None:
    assert book.ledger.spent() == Spent()


def test_seconds_are_summed_by_activity_and_generations_counted(book: Book) -> None:
    for activity, seconds in (("generate", 2.0), ("idle", 5.0), ("generate", 1.5)):
        book.ledger.spend(activity, seconds)
        book.now += 90
    book.ledger.delivered()
    book.ledger.delivered()
    assert book.ledger.spent() == Spent(generate=3.5, idle=5.0, generations=2)


def test_what_is_older_than_an_hour_no_longer_counts(book: Book) -> None:
    book.ledger.spend("load", 10)
    book.ledger.delivered()
    book.now += 3590 - 60
    assert book.ledger.spent().load == 10
    book.now += 120
    assert book.ledger.spent() == Spent()
    book.ledger.spend("failed", 1)
    assert book.ledger.spent() == Spent(failed=1)


def test_a_day_of_minutes_takes_the_room_of_an_hour(book: Book) -> None:
    for _ in range(24 * 60):
        book.ledger.spend("idle", 60)
        book.now += 60
    book.now -= 60
    assert book.ledger.spent().idle == 3600

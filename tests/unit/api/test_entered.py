"""What a process has let in since it last looked at the queue."""

from __future__ import annotations

import pytest

from modelpool.jobs import Lane
from modelpool_api.entered import Entered


def test_paid_jobs_see_paid_work_and_the_others_see_all() -> None:
    entered = Entered()
    entered.add("a", "flux", Lane.PAID, 2.0)
    entered.add("b", "flux", Lane.ANONYMOUS, 3.0)
    entered.add("c", "video", Lane.ACCOUNT, 20.0)
    assert entered.in_front(Lane.PAID) == {"flux": 2.0}
    assert entered.in_front(Lane.ACCOUNT) == entered.in_front(Lane.ANONYMOUS) == {"flux": 5.0, "video": 20.0}


def test_what_came_to_nothing_is_counted_no_more() -> None:
    entered = Entered()
    entered.add("a", "flux", Lane.PAID, 2.0)
    entered.add("b", "flux", Lane.ANONYMOUS, 3.0)
    entered.remove("a")
    entered.remove("a")
    entered.remove("never counted")
    assert entered.in_front(Lane.ANONYMOUS) == {"flux": pytest.approx(3.0)}
    assert entered.in_front(Lane.PAID) == {"flux": pytest.approx(0.0)}


def test_a_look_at_the_queue_has_those_that_were_there_when_it_began_and_no_others() -> None:
    entered = Entered()
    entered.add("before", "flux", Lane.PAID, 2.0)
    entered.add("on its way", "flux", Lane.ANONYMOUS, 3.0)
    entered.queued("before")
    seen = entered.in_line()
    entered.queued("on its way")
    entered.add("after", "flux", Lane.ACCOUNT, 4.0)
    entered.queued("after")
    entered.forget(seen)
    assert not entered.in_front(Lane.PAID)
    assert entered.in_front(Lane.ANONYMOUS) == {"flux": 7.0}
    entered.forget(entered.in_line())
    assert not entered.in_front(Lane.ANONYMOUS)


def test_what_was_seen_is_forgotten_once() -> None:
    entered = Entered()
    entered.add("a", "flux", Lane.PAID, 2.0)
    entered.queued("a")
    entered.forget(entered.in_line())
    entered.remove("a")
    entered.queued("a")
    assert not entered.in_line()
    assert not entered.in_front(Lane.PAID)


def test_who_takes_long_is_counted_until_they_are_in_however_often_the_queue_is_looked_at() -> None:
    entered = Entered()
    entered.add("slow", "flux", Lane.PAID, 2.0)
    for _ in range(5):
        entered.forget(entered.in_line())
    assert entered.in_front(Lane.PAID) == {"flux": 2.0}
    entered.queued("slow")
    entered.forget(entered.in_line())
    assert not entered.in_front(Lane.PAID)

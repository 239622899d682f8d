"""What a process has let in since it last looked at the queue."""

from __future__ import annotations

import pytest

from modelpool.jobs import Lane
from modelpool_api.pools import Entered


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


def test_a_new_look_at_the_queue_has_them_all() -> None:
    entered = Entered()
    entered.add("a", "flux", Lane.PAID, 2.0)
    entered.clear()
    entered.remove("a")
    assert not entered.in_front(Lane.PAID)
    assert not entered.in_front(Lane.ANONYMOUS)

"""The parts of the queue that need no Redis: scripts as text, lines, the fake's clock."""

import re
from importlib.resources import files
from typing import Any

import pytest

from modelpool.jobs import Lane
from modelpool.queue import scripts
from modelpool.queue.fake import FakeQueue
from modelpool.queue.job import Job
from modelpool.queue.lines import Lines
from modelpool.queue.port import HotModel
from modelpool.queue.records import fields_of, pairs, short_keys
from modelpool.queue.rules import line_of
from support.queues import POOL, new_job


def standing(lines: Lines, *jobs: Job) -> list[Job]:
    for ticket, job in enumerate(jobs):
        job.ticket = ticket
        job.tag = lines.start(job.line, job.model, job.asked.subject)
        lines.bill(job)
        lines.enter(job)
    return list(jobs)


def a_job(subject: str = "ann", lane: Lane = Lane.ANONYMOUS, **fields: Any) -> Job:
    asked = new_job(lane=lane, subject=subject, **fields)
    return Job(asked, enqueued_at=0, deadline=3_600_000, line=line_of(lane))


def test_every_file_of_lua_belongs_to_a_verb_or_is_shared() -> None:
    names = {entry.name.removesuffix(".lua") for entry in (files("modelpool.queue") / "lua").iterdir()}
    assert names == {*scripts.VERBS, "prelude", "lines", "endings"}


@pytest.mark.parametrize("verb", scripts.VERBS)
def test_a_script_is_given_every_constant_that_it_names_and_no_other(verb: str) -> None:
    text = re.sub(r"--.*", "", scripts.source(verb))
    given = re.findall(r"^local ([A-Z_]+) = ", text, re.MULTILINE)
    assert len(given) == len(set(given))
    for name in given:
        assert len(re.findall(rf"\b{name}\b", text)) > 1, name
    strings = re.sub(r"'[^'\n]*'|\[\[.*\]\]", "", text)
    assert set(re.findall(r"\b[A-Z][A-Z_]+\b", strings)) <= {*given, "KEYS", "ARGV", "LOG_WARNING"}


def test_constants_are_those_of_the_rules() -> None:
    assert "local MAX_ATTEMPTS = 3\n" in scripts.source("fail")
    assert "local LINES = {'paid','free'}\n" in scripts.source("claim")


def test_a_record_is_written_with_all_digits_and_short_keys() -> None:
    job = new_job(work=0.1, charge_id=None)
    shape, key = short_keys(job.request)
    fields = dict(pairs([str(part) for part in fields_of(job, key)]))
    assert float(fields["work"]) == 0.1
    assert len(shape) == len(key) == 14
    assert shape != fields["key"] == key
    assert "charge" not in fields


def test_the_next_job_of_a_user_starts_when_the_one_before_would_be_done() -> None:
    lines = Lines()
    first, second, other = standing(lines, a_job("ann", work=4), a_job("ann", work=4), a_job("bob"))
    assert [job.tag for job in (first, second, other)] == [0, 4, 0]


def test_an_account_pays_half_the_virtual_time() -> None:
    _, second = standing(Lines(), *(a_job(lane=Lane.ACCOUNT, work=4) for _ in range(2)))
    assert second.tag == 2


def test_who_was_idle_starts_where_the_line_has_come_to() -> None:
    lines = Lines()
    for job in standing(lines, *(a_job("ann", work=5) for _ in range(4))):
        assert lines.next_batch([HotModel("flux", 1)], mixes=False) == [job]
        lines.leave(job)
    (late,) = standing(lines, a_job("bob"))
    assert late.tag == 15


async def test_the_fake_has_a_clock_of_its_own() -> None:
    queue = FakeQueue(POOL)
    record = (await queue.enqueue(new_job())).record
    assert record.deadline - record.enqueued_at == 3_600_000
    assert record.enqueued_at > 1_700_000_000_000

"""Drives the queue in Redis and its model in Python with random enqueues, alone and in crowds, and cancellations."""

import hashlib
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, rule

from modelpool.errors import IdempotencyConflict, JobIsFinal
from modelpool.jobs import FINAL_STATES, JobState, Lane, NewJob
from support.queue_crowds import CrowdTwins
from support.queue_twins import MODELS
from support.queues import new_job

SUBJECTS = ("ann", "bob")


def digest_of(what: str) -> str:
    """A digest: equal for what is alike."""
    return hashlib.sha256(what.encode()).hexdigest()


class Askers(CrowdTwins):
    """Those who ask: what they may do to a queue."""

    jobs = Bundle("jobs")

    @initialize(target=jobs, lane=st.sampled_from(Lane), kinds=st.lists(st.integers(0, 4), min_size=2, max_size=6))
    def begin_with_a_backlog(self, lane: Lane, kinds: list[int]) -> Any:
        self.set_up()
        return self.put_many(lane, SUBJECTS[0], kinds)

    @rule(
        target=jobs,
        lane=st.sampled_from(Lane),
        subject=st.sampled_from(SUBJECTS),
        kind=st.integers(0, 4),
        alike=st.sampled_from([True, True, False]),
        work=st.sampled_from([0.1, 1.0, 2.7]),
        charged=st.booleans(),
        use_cache=st.sampled_from([True, True, True, False]),
        life=st.sampled_from([60, 600, 3600]),
        key=st.sampled_from([None, None, None, "k1", "k2"]),
        fingerprint=st.sampled_from(["f1", "f1", "f2"]),
    )
    def enqueue(
        self,
        lane: Lane,
        subject: str,
        kind: int,
        alike: bool,
        work: float,
        charged: bool,
        use_cache: bool,
        life: int,
        key: str | None,
        fingerprint: str,
    ) -> Any:
        job = self.put(lane, subject, kind, alike, work, charged, use_cache, life, key, fingerprint)
        return multiple() if job is None else job

    def put(self, *args: Any, **fields: Any) -> NewJob | None:
        return self.send(self.made(*args, **fields))

    def made(
        self,
        lane: Lane,
        subject: str,
        kind: int,
        alike: bool,
        work: float = 1.0,
        charged: bool = True,
        use_cache: bool = True,
        life: int = 600,
        key: str | None = None,
        fingerprint: str = "",
    ) -> NewJob:
        name = self.name("job")
        return new_job(
            MODELS[kind % 2],
            lane,
            id=name,
            # A user of several lanes would be several users.
            subject=f"{lane.value} {subject}",
            steps=4 + kind // 4,
            width=512 + kind // 2 % 2 * 512,
            digest=digest_of(f"kind {kind}" if alike else name),
            work=work,
            charge_id=f"charge {name}" if charged else None,
            use_cache=use_cache,
            deadline_ms=life * 1000,
            idempotency_key=key,
            fingerprint=fingerprint if key else None,
            trace="00-trace" if charged else None,
        )

    def send(self, job: NewJob) -> NewJob | None:
        return self.noted(job, self.both("enqueue", job))

    def noted(self, job: NewJob, answer: Any) -> NewJob | None:
        """What became of an enqueue. Returns the job unless another stands for it."""
        if answer is IdempotencyConflict or answer.record.id != job.id:
            return None
        if answer.record.leader is not None and not self.model.job(job.id).billed:
            self.owing.add(job.id)
        self.asked[job.id] = job
        return job

    @rule(
        target=jobs,
        job=jobs,
        others=st.lists(st.tuples(st.sampled_from(Lane), st.sampled_from(SUBJECTS)), min_size=1, max_size=3),
        life=st.sampled_from([60, 600]),
    )
    def others_want_the_same(self, job: NewJob, others: list[tuple[Lane, str]], life: int) -> Any:
        sent = []
        for lane, subject in others:
            name = self.name("same")
            changes = {"id": name, "lane": lane, "subject": f"{lane.value} {subject}", "charge_id": f"charge {name}"}
            more = {"use_cache": True, "idempotency_key": None, "fingerprint": None, "deadline_ms": life * 1000}
            sent.append(self.send(job.model_copy(update={**changes, **more})))
        return multiple(*filter(None, sent))

    @rule(which=st.integers(0, 20), leaders=st.booleans())
    def somebody_in_a_crowd_cancels(self, which: int, leaders: bool) -> None:
        records = [self.model.get(job) for job in sorted(self.asked)]
        crowd = {record.leader if leaders else record.id for record in records if record.leader is not None}
        if crowd:
            self.both("cancel", sorted(filter(None, crowd))[which % len(crowd)])

    @rule(
        target=jobs,
        lane=st.sampled_from(Lane),
        subject=st.sampled_from(SUBJECTS),
        kinds=st.lists(st.integers(0, 4), max_size=6),
    )
    def enqueue_many(self, lane: Lane, subject: str, kinds: list[int]) -> Any:
        return self.put_many(lane, subject, kinds)

    def put_many(self, lane: Lane, subject: str, kinds: list[int]) -> Any:
        return multiple(*filter(None, [self.put(lane, subject, kind, alike=False) for kind in kinds]))

    @rule(
        target=jobs,
        crowd=st.lists(
            st.tuples(
                st.sampled_from(Lane),
                st.sampled_from(SUBJECTS),
                st.integers(0, 4),
                st.booleans(),
                st.sampled_from([0.1, 1.0, 2.7]),
                st.booleans(),
                st.sampled_from([True, True, True, False]),
                st.sampled_from([60, 600]),
                st.sampled_from([None, None, "k1", "k2", "k3"]),
                st.sampled_from(["f1", "f1", "f2"]),
            ),
            min_size=2,
            max_size=5,
        ),
        twice=st.lists(st.integers(0, 4), max_size=2),
        known=st.lists(jobs, max_size=1),
        reply_lost=st.booleans(),
    )
    def several_come_at_one_time(
        self, crowd: list[tuple[Any, ...]], twice: list[int], known: list[NewJob], reply_lost: bool
    ) -> Any:
        """Strangers and identical ones, some sent twice, some known before; all of them again when the reply was lost."""
        made = [self.made(*one) for one in crowd]
        sent = [*made, *(made[which] for which in twice if which < len(made)), *known]
        for _ in range(1 + reply_lost):
            for job, answer in zip(sent, self.enqueue_together(sent), strict=True):
                self.noted(job, answer)
        return multiple(*(job for job in made if job.id in self.asked))

    @rule(job=jobs)
    def enqueue_again(self, job: NewJob) -> None:
        self.both("enqueue", job)

    @rule(lane=st.sampled_from([Lane.ACCOUNT, Lane.ANONYMOUS]), model=st.sampled_from(MODELS))
    def a_newcomer_waits_for_at_most_one_more_job_of_anybody(self, lane: Lane, model: str) -> None:
        job = new_job(model, lane, id=self.name("new"), subject=self.name("newcomer"))
        self.asked[job.id] = job
        position = self.both("enqueue", job).position
        ahead = [
            record
            for other in self.asked
            if (record := self.model.get(other)).model == model
            and record.state is JobState.QUEUED
            and (self.model.position(other) or 0) < position
        ]
        assert len(ahead) == position
        # Who lifts a leader, or lends it a turn, has given that turn for it; paid is paid. A follower that was promoted waits
        # no longer than the next one would, which owes nothing yet: so that is nobody's turn.
        users = Counter(
            waiting.debtor
            for record in ahead
            if (waiting := self.model.job(record.id)).line == "free" and record.id not in self.owing
        )
        assert all(count <= 1 for count in users.values()), users

    @rule(job=jobs, only_waiting=st.booleans())
    def cancel(self, job: NewJob, only_waiting: bool) -> None:
        before = self.model.get(job.id).state
        answer = self.both("cancel", job.id, only_waiting=only_waiting)
        assert (answer is JobIsFinal) == (before in FINAL_STATES - {JobState.CANCELLED})

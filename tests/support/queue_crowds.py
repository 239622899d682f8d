"""Several enqueues that one script lets in, beside the model that lets them in one after the other."""

import asyncio
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from modelpool.errors import ModelpoolError
from modelpool.jobs import JobEvent, NewJob
from modelpool.queue import pipelining, scripts
from modelpool.queue.job import Bell
from support.queue_twins import QueueTwins


class CrowdTwins(QueueTwins):
    """Both sides let in crowds. Each makes one trip, which sets out when all have come: two would be let in in any order."""

    def enqueue_together(self, jobs: list[NewJob]) -> list[Any]:
        """The answers, errors as their types."""
        self.counts["operations"] += len(jobs)
        self.counts["enqueued together"] += len(jobs)
        theirs, runs = self.run(self._enqueue_at_one_time(jobs))
        answers: list[Any] = []
        repeated = []
        for job in jobs:
            told = len(self.model.told)
            try:
                answers.append(self.model.enqueue(job, self.clock.now))
            except ModelpoolError as error:
                answers.append(type(error))
                continue
            if len(self.model.told) == told:
                repeated.append(len(answers) - 1)
        assert runs == 1 + 2 * len(repeated), "one for all; the record and the place of one that was there are read"
        for index in repeated:  # when the script has let in all the others
            id = answers[index].record.id
            answers[index] = replace(answers[index], record=self.model.get(id), position=self.model.position(id))
        assert theirs == answers
        self._bells_are_rung_once()
        return answers

    async def _enqueue_at_one_time(self, jobs: list[NewJob]) -> tuple[list[Any], int]:
        for verb in ("enqueue", "get", "position"):  # else each would load it, and try again when it pleases
            await self.client.script_load(scripts.source(verb))
        before = await self._runs()
        with patch.object(pipelining, "TRIPS", 1):
            answers = await asyncio.gather(*map(self.redis.enqueue, jobs), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ModelpoolError):
                raise answer
        errors_as_types = [type(answer) if isinstance(answer, ModelpoolError) else answer for answer in answers]
        return errors_as_types, await self._runs() - before

    async def _runs(self) -> int:
        stats = await self.client.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])

    def _bells_are_rung_once(self) -> None:
        """Events come in the order of the jobs; then each bell once, in whatever order."""
        heard, refunds = self.run(self._told())
        events = [entry for entry in self.model.told if isinstance(entry, JobEvent)]
        bells = heard[len(events) :]
        assert len(bells) == len(set(bells))
        assert set(bells) == {entry for entry in self.model.told if isinstance(entry, Bell)}
        self.model.told = [*events, *bells]
        self.both_told_the_same(heard, refunds)

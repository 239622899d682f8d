"""What has been seen of whoever asks: a few counters in Redis that live an hour or a day, under names of the day."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from modelpool.queue.rules import DAY_MS, HOUR_MS
from modelpool_api.behaviour.rules import MINUTE_MS, Evidence
from modelpool_api.behaviour.sightings import Sighting
from modelpool_api.door_scripts import DoorScripts


@cache
def _source() -> str:
    return (files("modelpool_api.behaviour") / "evidence.lua").read_text("utf-8")


async def observe(scripts: DoorScripts, sighting: Sighting) -> Evidence:
    """Count one request and return what has been seen.

    :raises QueueUnavailable: Redis is away.
    """
    args: list[str | int] = [2, f"rapid:{sighting.who}", MINUTE_MS, f"same:{sighting.words}", HOUR_MS]
    if sighting.device is not None and sighting.visitor is not None:
        args += [f"device:{sighting.device}", sighting.visitor, DAY_MS]
        args += [f"spread:{sighting.fingerprint}", sighting.network, DAY_MS]
    found = await scripts.run(_source(), *args)
    return Evidence(*(int(count) for count in found))

"""Which GPUs this machine has, and which slot uses which."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence


def list_gpus() -> list[str]:
    """UUIDs of the GPUs (or MIG devices) that the driver shows; empty where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    shown = subprocess.run([program, "-L"], capture_output=True, text=True, check=False, timeout=60)
    return parse_list(shown.stdout) if shown.returncode == 0 else []


def parse_list(text: str) -> list[str]:
    """UUIDs from ``nvidia-smi -L``. A GPU cut into MIG devices counts as these, not as itself. Pure."""
    found: list[str] = []
    whole: str | None = None
    for line in text.splitlines():
        _, marker, rest = line.partition("(UUID: ")
        if not marker:
            continue
        uuid = rest.rstrip().removesuffix(")")
        if uuid.startswith("MIG-") and whole in found:
            found.remove(whole)
        if not uuid.startswith("MIG-"):
            whole = uuid
        found.append(uuid)
    return found


class GpuShare:
    """Hands one GPU to each slot, and gives a slot the same one again after a restart."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._free = list(gpus)
        self._taken: dict[str, str] = {}

    def take(self, slot: str) -> str:
        """The slot's GPU.

        :raises RuntimeError: all are taken.
        """
        if slot not in self._taken:
            if not self._free:
                raise RuntimeError("no GPU is free on this machine")
            self._taken[slot] = self._free.pop(0)
        return self._taken[slot]

    def give_back(self, slot: str) -> None:
        """The slot is gone; its GPU is free again."""
        gpu = self._taken.pop(slot, None)
        if gpu is not None:
            self._free.insert(0, gpu)

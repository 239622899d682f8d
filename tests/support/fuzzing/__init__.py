"""schemathesis over a running API: every operation of its OpenAPI document, alone and in sequences, with every check."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""For each operation; 0: few, and the same in every run."""
FEW = 8


@dataclass(frozen=True)
class Fuzzed:
    """What a run came to."""

    report: dict[str, Any]
    output: str

    def __str__(self) -> str:
        tested, total = self.operations
        return f"schemathesis: {self.cases} cases over {tested} of {total} operations, {self.failures} failures"

    @property
    def operations(self) -> tuple[int, int]:
        """How many were tested, and how many there are."""
        return self.report["operations"]["tested"], self.report["operations"]["total"]

    @property
    def cases(self) -> int:
        """Requests that were made up and judged."""
        return int(self.report["test_cases"]["generated"])

    @property
    def failures(self) -> int:
        """Different ones."""
        return int(self.report["test_cases"]["unique_failures"])

    @property
    def phases(self) -> dict[str, str]:
        """How each ended."""
        return {name: phase["status"] for name, phase in self.report["phases"].items()}


async def fuzz(url: str, folder: Path, *, admin_token: str, result: str) -> Fuzzed:
    """Run schemathesis against the API at ``url``. ``result`` is the name of a stored file."""
    report = folder / "report.json"
    chosen = (
        ("--max-examples", str(EXAMPLES)) if EXAMPLES else ("--max-examples", str(FEW), "--generation-deterministic")
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(FOLDER / "schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--checks", "all", "--continue-on-failure", "--no-color", "--warnings", "off"),
        *("--request-timeout", "20", "--report", "json", "--report-json-path", str(report), *chosen),
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(FOLDER),
            "SCHEMATHESIS_HOOKS": "fuzzing_hooks",
            "MODELPOOL_FUZZ_ADMIN": admin_token,
            "MODELPOOL_FUZZ_RESULT": result,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if not report.exists():
        raise RuntimeError(output.decode(errors="replace"))
    return Fuzzed(json.loads(report.read_text()), output.decode(errors="replace"))

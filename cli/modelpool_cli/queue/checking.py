"""`modelpool queue check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from modelpool.queue.check import MEANINGS, RECOUNT, Finding, QueueCheck, Report
from modelpool_cli.queue.places import Place
from modelpool_cli.queue.shown import Shown, counted
from modelpool_local.exits import Exit

EXAMPLES = 3
"""So many of each problem are named in the table; --json names them all."""


async def check_queues(place: Place, shown: Shown, *, repair: bool) -> Exit:
    """Check every pool, and mend what is wrong if so asked.

    :raises QueueUnavailable: Redis went away; what was found before, and mended, is told all the same: nobody finds it again.
    """
    reports: list[Report] = []
    try:
        for pool in place.pools:
            reports.append(await QueueCheck(pool, place.client).check(repair=repair))
            if not shown.as_json:
                _tell(reports[-1], shown, repair=repair)
    finally:
        if shown.as_json:
            shown.json([_json(report) for report in reports])
    return Exit.FAILED if any(report.findings for report in reports) else Exit.OK


def _tell(report: Report, shown: Shown, *, repair: bool) -> None:
    looked_at = (
        f"{report.pool}: looked at {counted(report.jobs, 'record')}, {report.entries:,} entries of lines and sets, "
        f"and {counted(report.keys, 'key')}"
    )
    problems = counted(len(report.findings), "problem")
    shown.say(f"{looked_at}: {problems if report.findings else 'all well'}.")
    if not report.counted:
        shown.say(
            f"Counters were not looked at: more than {RECOUNT:,} jobs wait and run. Check again when they are fewer."
        )
    if not report.findings:
        return
    shown.table(("problem", "how many", "which", "mended" if repair else "--repair would"), _rows(report, repair))
    mended = sum(finding.mended for finding in report.findings)
    if repair and mended < len(report.findings):
        shown.say("What is not mended is not the queue's: see to it by hand.")
    elif not repair:
        shown.say("Nothing was changed: give --repair to mend it.")


def _rows(report: Report, repair: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for problem, count in sorted(Counter(finding.problem for finding in report.findings).items()):
        those = [finding for finding in report.findings if finding.problem is problem]
        meaning, cure = MEANINGS[problem]
        rows.append((f"{problem}: {meaning}", f"{count:,}", _some(those), _cured(those, cure) if repair else cure))
    return rows


def _some(findings: Sequence[Finding]) -> str:
    named = ", ".join(finding.what for finding in findings[:EXAMPLES])
    return named + (", …" if len(findings) > EXAMPLES else "")


def _cured(findings: Sequence[Finding], cure: str) -> str:
    mended = sum(finding.mended for finding in findings)
    return cure if mended == len(findings) else f"{cure} ({mended:,} of {len(findings):,})" if mended else "no"


def _json(report: Report) -> dict[str, object]:
    return {
        "pool": report.pool,
        "records": report.jobs,
        "entries": report.entries,
        "keys": report.keys,
        "countersChecked": report.counted,
        "findings": [
            {"problem": finding.problem, "what": finding.what, "mended": finding.mended} for finding in report.findings
        ],
    }

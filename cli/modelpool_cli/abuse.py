"""`modelpool abuse`: try the rules against unusual use before they refuse anybody. Its options and help."""

from __future__ import annotations

import sys
from typing import Any, Literal

import click

from modelpool_local.exits import CommandFailed, Exit

Given = int | Literal["off"] | None


class _Threshold(click.ParamType[int | Literal["off"]]):
    """A whole number above 0, or ``off``."""

    name = "N|off"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["off"]:
        """From the command line's text."""
        if value == "off":
            return "off"
        if str(value).isdecimal() and int(value) > 0:
            return int(value)
        raise click.BadParameter(f"{value!r} is neither a number above 0 nor off", ctx, param)


@click.group()
def abuse() -> None:
    """Try the rules against unusual use before they refuse anybody.

    \b
    modelpool abuse replay sightings.jsonl
    """


@abuse.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(allow_dash=True, dir_okay=False))
@click.option("--admission", default="public", show_default=True, help="Whose rules: public, local, or a YAML file.")
@click.option("--rapid-per-minute", type=_Threshold(), help="Instead: requests within a minute that are still usual.")
@click.option("--identical-per-hour", type=_Threshold(), help="Instead: equal requests within an hour.")
@click.option(
    "--visitors-per-device", type=_Threshold(), help="Instead: cookies of one fingerprint in a network a day."
)
@click.option("--networks-per-fingerprint", type=_Threshold(), help="Instead: networks of one fingerprint a day.")
@click.option(
    "--samples", type=click.IntRange(0, 1000), default=3, show_default=True, help="Refusals shown of each rule."
)
@click.option("--skip-broken", is_flag=True, help="Pass over lines that cannot be read, and say how many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(
    logs: tuple[str, ...], admission: str, samples: int, skip_broken: bool, as_json: bool, **given: Given
) -> None:
    """Show what each rule would have refused in a recorded log. Asks and changes nothing.

    \b
    modelpool abuse replay sightings.jsonl.1 sightings.jsonl
    modelpool abuse replay sightings.jsonl --admission admission.yaml --rapid-per-minute 20 --identical-per-hour off
    kubectl exec deploy/RELEASE-api -- cat /tmp/sightings.jsonl | modelpool abuse replay -

    The API writes the log where the admission document says behaviour: {record: {file: sightings.jsonl}}. Logs of several
    replicas are put in order by time. A rule that is given no threshold here has that of the admission document.
    """
    from modelpool_cli.queue.shown import Shown
    from modelpool_cli.replayed import read_logs, read_rules, show

    rules = read_rules(admission, {name: value for name, value in given.items() if value is not None})
    read = read_logs(logs, sys.stdin, skip_broken=skip_broken)
    if not read.sightings and read.broken:
        raise CommandFailed(Exit.FAILED, f"nothing can be read: all {read.broken} lines are broken")
    show(read, rules, samples, Shown(as_json))

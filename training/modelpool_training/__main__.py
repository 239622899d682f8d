"""The command line: train the models, check them, draw a contact sheet."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp

from modelpool_training.vocabulary import MODELS

_WORK, _OUT = Path(".training"), Path("models")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelpool_training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train what is missing, and write the models' folders")
    train.add_argument("--only", action="append", metavar="NAME", help="a model; may be given again (default: all)")
    train.add_argument("--work", type=Path, help=f"checkpoints (default: {_WORK}; with --fast a new temporary folder)")
    train.add_argument(
        "--out", type=Path, help=f"where the folders go (default: {_OUT}; with --fast a new temporary folder)"
    )
    train.add_argument(
        "--fast", action="store_true", help="two steps a stage, to see that it runs; the pictures are noise"
    )
    train.set_defaults(run=_train)
    check = commands.add_parser("check", help="measure how often the models obey; fails if one misses its target")
    check.add_argument("--only", action="append", metavar="NAME", help="a model; may be given again (default: all)")
    check.add_argument("--models", type=Path, default=Path("models"), help="the models' folders (default: models)")
    check.add_argument("--prompts", type=int, default=100, help="held-out prompts a model (default: 100)")
    check.add_argument("--clips", type=int, default=20, help="clips of the video model (default: 20)")
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")
    check.set_defaults(run=_check)
    sheet = commands.add_parser("sheet", help="draw a contact sheet of what the models make")
    sheet.add_argument("--models", type=Path, default=Path("models"), help="the models' folders (default: models)")
    sheet.add_argument("--seed", type=int, default=7, help="of prompts and noise (default: 7)")
    sheet.add_argument("file", type=Path, help="the PNG to write")
    sheet.set_defaults(run=_sheet)
    return parser


def _train(options: argparse.Namespace) -> int:
    from modelpool_training.costs import cost_table, read_costs
    from modelpool_training.plan import FAST, OtherTraining, Plan
    from modelpool_training.train import train

    names = _chosen(options.only)
    if names is None:
        return 2
    work, out = _folders(options)
    try:
        train(names, work, out, FAST if options.fast else Plan())
    except OtherTraining as error:
        print(error, file=sys.stderr)
        return 2
    print(cost_table(read_costs(work)))
    return 0


def _folders(options: argparse.Namespace) -> tuple[Path, Path]:
    """Of checkpoints and of models. A try-out's noise must not take the place of weights that somebody uses."""
    if options.fast and not (options.work and options.out):
        beside = Path(mkdtemp(prefix="modelpool-training-"))
        work, out = options.work or beside / "work", options.out or beside / "models"
        print(f"a try-out: checkpoints in {work}, models in {out}", flush=True)
        return work, out
    return options.work or _WORK, options.out or _OUT


def _check(options: argparse.Namespace) -> int:
    from modelpool_training.check import check
    from modelpool_training.scores import table

    names = _chosen(options.only)
    if names is None:
        return 2
    rates = check(options.models, names, options.prompts, options.clips)
    if options.json:
        print(json.dumps([{**asdict(rate), "passed": rate.passed} for rate in rates], indent=2))
    else:
        print(table(rates))
    return 0 if all(rate.passed for rate in rates) else 1


def _sheet(options: argparse.Namespace) -> int:
    from modelpool_training.sheet import contact_sheet

    contact_sheet(options.models, options.seed).save(options.file)
    return 0


def _chosen(names: list[str] | None) -> list[str] | None:
    unknown = sorted(set(names or ()) - set(MODELS))
    if unknown:
        print(f"unknown model {', '.join(unknown)}; there are {', '.join(MODELS)}", file=sys.stderr)
        return None
    return [name for name in MODELS if not names or name in names]


if __name__ == "__main__":
    sys.exit(main())

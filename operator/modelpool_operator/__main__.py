"""``python -m modelpool_operator local|kubernetes``: the command line, and how each ending is told."""

from __future__ import annotations

import argparse
import sys

from modelpool.errors import InvalidInput, ModelpoolError, StaleEpoch
from modelpool_operator.commands import local
from modelpool_operator.commands.kubernetes_options import add_options

EXIT_FAILED = 1
EXIT_INVALID = 2
"""The pool file, an option or this Redis cannot be used; so argparse ends, too."""
EXIT_STALE = 3
"""Another operator has taken over."""

_EXAMPLES = """\
examples:
  python -m modelpool_operator local --pool-file examples/small.yaml \\
    --redis-url redis://127.0.0.1:6379/0 --runtime-socket run/slots.sock
  python -m modelpool_operator kubernetes --namespaces art,music \\
    --redis-url redis://redis:6379/0 --store-url http://store:8080/
"""


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; what went wrong is one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except ModelpoolError as error:
        return _ended(error)
    except BaseExceptionGroup as group:
        ours, others = group.split(ModelpoolError)
        if ours is None or others is not None:
            raise
        return _ended(_first(ours))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelpool_operator",
        description="Decides which model sits in which slot.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    of_file = commands.add_parser("local", help="keep the pool of one file, beside the supervisor of `modelpool up`")
    local.add_options(of_file)
    of_file.set_defaults(run=local.run)
    of_cluster = commands.add_parser("kubernetes", help="keep the ModelPools of a cluster, with pods as workers")
    of_cluster.set_defaults(run=_run_kubernetes)
    add_options(of_cluster)
    return parser


def _run_kubernetes(options: argparse.Namespace) -> None:
    # kopf and the client are only loaded where there is a cluster.
    from modelpool_operator.commands import kubernetes

    kubernetes.run(options)


def _first(group: BaseExceptionGroup[ModelpoolError]) -> ModelpoolError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _ended(error: ModelpoolError) -> int:
    sys.stderr.write(f"{error.message}\n")
    if isinstance(error, StaleEpoch):
        return EXIT_STALE
    return EXIT_INVALID if isinstance(error, InvalidInput) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())

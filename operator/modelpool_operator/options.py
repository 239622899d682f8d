"""Options that are variables too: what is given on the command line wins."""

from __future__ import annotations

import argparse
import os
from typing import Any


def add_option(
    parser: argparse.ArgumentParser, name: str, variable: str, *, required: bool = False, **how: Any
) -> None:
    """Add ``name`` (such as ``--redis-url``) to ``parser``; an empty ``variable`` counts as unset.

    ``how`` goes to :meth:`argparse.ArgumentParser.add_argument`; a default is given there.
    """
    default = how.pop("default", None)
    found = os.environ.get(variable) or default
    how["help"] = f"{how.get('help', '')} [variable: {variable}]".strip()
    parser.add_argument(name, default=found, required=required and found is None, **how)

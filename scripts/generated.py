"""Files that are made from others: written, or with `--check` compared with what they should be."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def write_or_check(about: str | None, files: Mapping[Path, str], source: str) -> int:
    """What a script that makes ``files`` from ``source`` does: the exit status. ``about`` is its help."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file is not up to date")
    options = parser.parse_args()
    stale = {path: text for path, text in files.items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if options.check:
            print(f"{path.relative_to(ROOT)} is older than {source}: run `make crd`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if options.check and stale else 0

"""Write the table of values in the chart's README from values.schema.json and values.yaml; `--check` compares."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts" / "modelpool"
README = CHART / "README.md"
BEGIN, END = "<!-- values: made by `make crd` -->\n", "<!-- end of values -->\n"


def rows(schema: dict[str, Any], values: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of each value that is not itself a group of values; what is made elsewhere is one value."""
    for name, inner in schema["properties"].items():
        if name not in values:
            continue
        key = f"{place}.{name}" if place else name
        if inner.get("additionalProperties") is False and "$comment" not in inner:
            yield from rows(inner, values[name], key)
        else:
            yield key, json.dumps(values[name], ensure_ascii=False), inner["description"]


def table() -> str:
    """The values as Markdown."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    lines = [f"| `{key}` | `{default}` | {meaning} |" for key, default, meaning in rows(schema, values)]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *lines]) + "\n"


def main() -> int:
    """Write the table, or say that it is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the table is not up to date")
    options = parser.parse_args()
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if text == wanted:
        return 0
    if options.check:
        print("charts/modelpool/README.md is older than the chart's values: run `make crd`", file=sys.stderr)
        return 1
    README.write_text(wanted)
    print("wrote charts/modelpool/README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())

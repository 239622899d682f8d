"""Write the table of values in the chart's README from values.schema.json and values.yaml; `--check` compares."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import yaml
from generated import ROOT, write_or_check

CHART = ROOT / "charts" / "modelpool"
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


def readme() -> str:
    """The README with that table in it."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, {README: readme()}, "the chart's values"))

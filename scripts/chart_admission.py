"""Write what the API's admission document may say into the chart's schema of values; `--check` compares.

So that `helm install` refuses what the API would refuse at its start.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from modelpool_api.policy import AdmissionPolicy

SCHEMA = Path(__file__).parents[1] / "charts" / "modelpool" / "values.schema.json"
DESCRIPTION = (
    "Who may take how much: a profile (public or local) and what is different from it, as in the file of the API's "
    "--admission; docs/operations.md has all of it."
)
UNSAID = ("title", "default", "description", "format")
PARTIAL = ("Plan",)
"""What a profile may fill: nothing of it has to be said."""


def admission() -> dict[str, Any]:
    """The document's schema as Helm reads one: nothing but types and bounds, and no references."""
    whole = AdmissionPolicy.model_json_schema()
    definitions: dict[str, Any] = whole.pop("$defs")

    def plain(schema: Any, *, fields: bool = False) -> Any:
        if isinstance(schema, list):
            return [plain(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            inner = plain(definitions[name])
            return {key: value for key, value in inner.items() if name not in PARTIAL or key != "required"}
        kept = schema if fields else {key: value for key, value in schema.items() if key not in UNSAID}
        return {key: plain(value, fields=key in ("properties", "patternProperties")) for key, value in kept.items()}

    made: dict[str, Any] = plain(whole)
    return {"description": DESCRIPTION, "$comment": "Made by `make crd`.", **made, "required": ["profile"]}


def main() -> int:
    """Write the schema, or say that it is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the schema is not up to date")
    options = parser.parse_args()
    text = SCHEMA.read_text()
    schema = json.loads(text)
    schema["properties"]["api"]["properties"]["admission"] = admission()
    wanted = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if text == wanted:
        return 0
    if options.check:
        print("charts/modelpool/values.schema.json is older than the API's policy: run `make crd`", file=sys.stderr)
        return 1
    SCHEMA.write_text(wanted)
    print("wrote charts/modelpool/values.schema.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())

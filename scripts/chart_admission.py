"""Write what the API's admission document may say into the chart's schema of values; `--check` compares.

So that `helm install` refuses what the API would refuse at its start.
"""

import json
import sys
from typing import Any

from generated import ROOT, write_or_check

from modelpool_api.policy import AdmissionPolicy

SCHEMA = ROOT / "charts" / "modelpool" / "values.schema.json"
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


def schema_of_values() -> str:
    """The chart's schema with the API's own part in it."""
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["api"]["properties"]["admission"] = admission()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, {SCHEMA: schema_of_values()}, "the API's policy"))

"""Write the CustomResourceDefinition from the core models, for kubectl and for the chart; `--check` compares."""

import sys
from pathlib import Path

import yaml
from generated import ROOT, write_or_check

from modelpool_operator.crd import custom_resource_definition

PLAIN = ROOT / "crds" / "modelpools.yaml"
CHART = ROOT / "charts" / "modelpool" / "templates" / "crd.yaml"
HEADER = "# Made from the core models by `make crd`; not to be edited.\n"


class _Dumper(yaml.SafeDumper):
    """Writes a document that occurs twice twice, not as an anchor."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def files() -> dict[Path, str]:
    """What belongs into which file."""
    definition = custom_resource_definition()
    plain = _yaml(definition)
    definition["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    definition["metadata"]["labels"] = "LABELS"
    # Helm reads {{ as its own; no description may hold it.
    chart = _yaml(definition).replace(
        "  labels: LABELS\n", '  labels: {{- include "modelpool.labels" . | nindent 4 }}\n'
    )
    return {
        PLAIN: HEADER + plain,
        CHART: "{{- if .Values.crds.install }}\n" + HEADER + chart + "{{- end }}\n",
    }


def _yaml(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(write_or_check(__doc__, files(), "the core models"))

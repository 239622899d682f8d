"""Write the CustomResourceDefinition from the core models, for kubectl and for the chart; `--check` compares."""

import argparse
import sys
from pathlib import Path

import yaml

from modelpool_operator.crd import custom_resource_definition

ROOT = Path(__file__).parents[1]
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


def main() -> int:
    """Write the files, or say which of them are not what they should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file is not up to date")
    options = parser.parse_args()
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if options.check:
            print(f"{path.relative_to(ROOT)} is older than the core models: run `make crd`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files()[path])
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""A pool file becomes a ModelPool, or one line that names the file, the field and the cure."""

from pathlib import Path
from textwrap import dedent

import pytest

from modelpool.errors import InvalidSpec
from modelpool.resources.load import load_pool, parse_pool

GOOD = dedent("""\
    apiVersion: modelpool.dev/v1alpha1
    kind: ModelPool
    metadata:
      name: studio
      labels: {team: art}
    spec:
      gpu: {vram: 24Gi}
      tiers:
      - name: primary
        policy: Always
        slots: 4
        models:
        - name: flux-schnell
          source: {uri: "file:///models/flux-schnell"}
          weights: 12Gi
          activations: 4Gi
      - name: secondary
        policy: Rotate
        slots: 2
        models:
        - name: sd-1.5
          source: {uri: "file:///models/sd-1.5"}
          weights: 4Gi
          activations: 2Gi
    """)


def message(text: str) -> str:
    with pytest.raises(InvalidSpec) as refused:
        parse_pool(text, "pool.yaml")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_pool_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(GOOD)
    pool = load_pool(path)
    assert (pool.metadata.namespace, pool.metadata.name) == ("default", "studio")
    assert pool.spec.tiers[0].models[0].weights_bytes == 12 * 2**30
    assert pool.spec.rebalance.interval_seconds == 15


def test_documents_of_other_kinds_are_passed_over() -> None:
    others = "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n---\n---\n- a list\n---\n"
    assert parse_pool(others + GOOD, "pool.yaml").metadata.name == "studio"


@pytest.mark.parametrize(
    ("old", "new", "field", "cure"),
    [
        ("weights: 4Gi", "weights: 4GB", "spec.tiers[1].models[0].weights", "such as 24Gi or 512M"),
        ("weights: 4Gi", "weights: 4", "spec.tiers[1].models[0].weights", 'put it in quotes, such as "4"'),
        ("weights: 4Gi", "weights: 0Gi", "spec.tiers[1].models[0].weights", "must be more than 0, such as 24Gi"),
        ("weights: 4Gi", "weights: 23Gi", "spec.tiers[1].models[0].weights", "raise the tier's gpu.vram"),
        ("weights: 4Gi\n      ", "", "spec.tiers[1].models[0].weights", "is required; add it"),
        ("slots: 2", "slots: 0", "spec.tiers[1].slots", "must be at least 1; it is 0"),
        ("slots: 2", "slots: two", "spec.tiers[1].slots", "must be a whole number"),
        ("slots: 2", "slots: 2000", "spec.tiers[1].slots", "must be at most 1000; it is 2000"),
        ("slots: 2", "slot: 2", "spec.tiers[1].slot", "did you mean slots?"),
        ("slots: 2", "slots: 2\n    xyzzy: 1", "spec.tiers[1].xyzzy", "use one of name, policy, slots"),
        ("gpu: {vram: 24Gi}", "gpu: {vram: 24Gi, nodeSelektor: {}}", "spec.gpu.nodeSelektor", "mean nodeSelector?"),
        ("policy: Rotate", "policy: rotate", "spec.tiers[1].policy", "did you mean Rotate?"),
        ("policy: Rotate", "policy: LRU", "spec.tiers[1].policy", "use one of Always, Rotate, OnDemand"),
        ("name: secondary", "name: Secondary", "spec.tiers[1].name", "use lower-case letters, digits and '-'"),
        ("name: secondary", "name: primary", "spec.tiers[1].name", "give each tier its own name"),
        ("file:///models/sd-1.5", "models/sd-1.5", "spec.tiers[1].models[0].source.uri", "file:///models/NAME"),
        ("gpu: {vram: 24Gi}", "gpu: 24Gi", "spec.gpu", "must be a mapping (key: value)"),
        ("gpu: {vram: 24Gi}", "gpu: {vram: 24Gi}\n  default: maybe", "spec.default", "must be true or false"),
        ("gpu: {vram: 24Gi}", "gpu: {vram: 24Gi}\n  cost: {gpuHourUSD: x}", "spec.cost.gpuHourUSD", "be a number"),
        ("v1alpha1", "v1", "apiVersion", "did you mean modelpool.dev/v1alpha1?"),
        ("name: studio", "nome: studio", "metadata.name", "is required; add it"),
    ],
)
def test_a_mistake_names_the_field_and_the_cure(old: str, new: str, field: str, cure: str) -> None:
    assert old in GOOD
    said = message(GOOD.replace(old, new))
    assert said.startswith(f"pool.yaml: {field}: ")
    assert cure in said


def test_every_mistake_is_told_at_once() -> None:
    said = message(GOOD.replace("slots: 2", "slots: 0").replace("weights: 4Gi", "weights: much"))
    assert "spec.tiers[1].slots" in said
    assert "spec.tiers[1].models[0].weights" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; a ModelPool starts with apiVersion"),
        ("kind: Namespace", "holds no ModelPool"),
        (GOOD + "---\n" + GOOD, "holds 2 ModelPools"),
        ("kind: ModelPool\n  spec: {", "pool.yaml:2:7: broken YAML: mapping values are not allowed here"),
        ("kind: ModelPool\nkind: ModelPool\n", "pool.yaml:2:1: broken YAML: the key 'kind' occurs twice"),
        ("kind: \x00", "broken YAML"),
        ("!!python/object/apply:os.system [id]", "broken YAML"),
        (GOOD.replace("tiers:", "tiers: none\n  other:"), "spec.tiers: must be a list"),
    ],
)
def test_a_file_without_exactly_one_pool_is_refused(text: str, words: str) -> None:
    assert words in message(text)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match=r"missing\.yaml: there is no such file"):
        load_pool(tmp_path / "missing.yaml")
    with pytest.raises(InvalidSpec, match=r"cannot be read: Is a directory"):
        load_pool(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidSpec, match=r"binary: is not UTF-8 text"):
        load_pool(tmp_path / "binary")

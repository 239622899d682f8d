"""A pool file becomes a ModelPool, or one line that names the file, the field and the cure."""

from pathlib import Path

import pytest

from modelpool.errors import InvalidSpec
from modelpool.resources.load import load_pool, parse_pool
from support.pool_examples import MISTAKES, Mistake
from support.pool_examples import TEXT as GOOD


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


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.field} as {mistake.new.strip()}")
def test_a_mistake_names_the_field_and_the_cure(mistake: Mistake) -> None:
    assert mistake.old in GOOD
    said = message(GOOD.replace(mistake.old, mistake.new))
    assert f"{mistake.field}: " in said
    assert mistake.cure in said


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

"""The pool file is followed; what cannot work is not put into force."""

import os
from pathlib import Path

import pytest

from modelpool.errors import InvalidSpec
from modelpool_operator.sources.file import PoolFile
from support.operator_stage import POOL_FILE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "pool.yaml"
    file.write_text(POOL_FILE)
    return file


def rewrite(path: Path, text: str) -> None:
    """As editors do: a new file in the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_nothing_new_without_a_touch(path: Path) -> None:
    file = PoolFile(path)
    assert not file.refresh()
    os.utime(path, ns=(1, 1))
    assert not file.refresh()
    assert file.pool.metadata.generation == 1


def test_each_change_is_a_generation(path: Path) -> None:
    file = PoolFile(path)
    rewrite(path, POOL_FILE.replace("idleSeconds: 600", "idleSeconds: 60"))
    assert file.refresh()
    assert (file.pool.spec.tiers[2].idle_seconds, file.pool.metadata.generation) == (60, 2)
    rewrite(path, POOL_FILE)
    assert file.refresh()
    assert file.pool.metadata.generation == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "broken YAML"),
        (POOL_FILE.replace("12Gi", "12GB"), "spec.tiers[0].models[0].weights"),
        (POOL_FILE.replace("{name: studio}", "{name: other}"), "the pool is called default/studio"),
    ],
)
def test_a_broken_edit_leaves_the_last_good_pool_in_force_until_it_is_mended(path: Path, text: str, words: str) -> None:
    file = PoolFile(path)
    before = file.pool
    rewrite(path, text)
    assert file.refresh()
    assert file.pool is before
    assert words in (file.problem or "")
    rewrite(path, POOL_FILE)
    assert file.refresh()
    assert (file.pool, file.problem) == (before, None)


def test_a_vanished_file_is_a_problem_and_no_end(path: Path) -> None:
    file = PoolFile(path)
    path.unlink()
    assert file.refresh()
    assert "there is no such file" in (file.problem or "")


def test_the_first_version_must_work(path: Path) -> None:
    path.write_text("kind: Namespace")
    with pytest.raises(InvalidSpec):
        PoolFile(path)

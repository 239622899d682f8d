from pathlib import Path

import pytest

from modelpool_cli.saving import require_writable, save
from modelpool_local.exits import CommandFailed


def test_a_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"old")
    save(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_others_may_read_it_as_far_as_the_umask_allows(tmp_path: Path) -> None:
    save(tmp_path / "a.png", b"x")
    (tmp_path / "plain").write_bytes(b"x")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"cannot write .*a\.png: No such file or directory"):
        save(tmp_path / "missing" / "a.png", b"x")


def test_whether_a_file_can_be_made_is_known_beforehand(tmp_path: Path) -> None:
    require_writable(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
    with pytest.raises(CommandFailed, match=r"cannot write .*a\.png: No such file or directory"):
        require_writable(tmp_path / "missing" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(CommandFailed, match=r"cannot write .*b\.png: Is a directory"):
        require_writable(tmp_path / "b.png")
    require_writable(tmp_path / ("a" * 300))  # a name that the API will refuse


def test_what_cannot_be_replaced_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(CommandFailed, match="cannot write"):
        save(tmp_path / "a.png", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

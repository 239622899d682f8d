import os
from pathlib import Path

import pytest

from modelpool_local.exits import CommandFailed, Exit
from modelpool_local.state import LONGEST_SOCKET_PATH, StateFolder, admin_token_of


def test_a_second_supervisor_is_kept_out_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state"):
        with pytest.raises(CommandFailed) as caught, StateFolder(tmp_path / "state"):
            pass
        assert caught.value.code is Exit.STATE_IN_USE
        assert f"process {os.getpid()}" in caught.value.message
        assert "--state DIR" in caught.value.message


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with StateFolder(tmp_path / "state") as state:
            assert state.redis.is_dir()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailed, match="cannot use"), StateFolder(tmp_path / "file" / "state"):
        pass


def test_sockets_go_elsewhere_when_the_path_would_be_too_long(tmp_path: Path) -> None:
    with StateFolder(tmp_path / ("x" * LONGEST_SOCKET_PATH)) as state:
        socket = state.socket("redis")
        assert len(str(socket)) <= LONGEST_SOCKET_PATH
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()


def test_the_admin_token_is_private_stays_and_is_found_by_other_commands(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        token = state.admin_token()
        assert token != state.subject_secret()
        assert (state.root / "admin-token").stat().st_mode & 0o777 == 0o600
    with StateFolder(tmp_path / "state") as state:
        assert state.admin_token() == admin_token_of(state.root) == token
    with pytest.raises(CommandFailed, match="--admin-token"):
        admin_token_of(tmp_path / "elsewhere")


def test_the_subject_secret_is_private_and_stays_over_a_restart(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        secret = state.subject_secret()
        assert len(secret) == 64
        assert (state.root / "subject-secret").stat().st_mode & 0o777 == 0o600
    with StateFolder(tmp_path / "state") as state:
        assert state.subject_secret() == secret
    with StateFolder(tmp_path / "other") as other:
        assert other.subject_secret() != secret

"""Names of a test cluster follow from its state folder."""

from pathlib import Path

import pytest

from cluster.layout import CACHE_VARIABLE, STATE_VARIABLE, Layout

LONGEST_INTERFACE_NAME = 15


def test_other_state_folders_give_other_names_and_the_same_one_the_same() -> None:
    one, again, other = (Layout(Path(folder), Path("/cache")) for folder in ("/one", "/one", "/other"))
    assert (one.link, one.cgroup) == (again.link, again.cgroup)
    assert one.link != other.link
    assert one.cgroup != other.cgroup
    assert len(one.link) <= LONGEST_INTERFACE_NAME


def test_folders_come_from_their_variables_then_from_those_of_the_desktop_standard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in (STATE_VARIABLE, CACHE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layout = Layout.default()
    assert (layout.state, layout.cache) == (
        tmp_path / "state" / "modelpool" / "cluster",
        tmp_path / "cache" / "modelpool" / "cluster",
    )
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "mine"))
    assert Layout.default().state == tmp_path / "mine"


def test_the_lock_outlives_the_state_folder() -> None:
    layout = Layout(Path("/state/cluster"), Path("/cache"))
    assert not layout.lock.is_relative_to(layout.state)

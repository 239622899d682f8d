"""What a build of an image is given of this machine."""

from pathlib import Path

import pytest

from cluster.images import _trust


@pytest.mark.parametrize("known", [True, False])
def test_a_build_finds_pips_index_whether_or_not_this_machine_has_authorities_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    authorities = tmp_path / "authorities.crt"
    if known:
        authorities.touch()
    volumes = dict(volume.split(":", 1) for volume in _trust(tmp_path, authorities))
    assert (str(authorities) in volumes) == known
    [settings] = [Path(path).read_text() for path, place in volumes.items() if place == "/etc/pip.conf:ro"]
    assert "index-url = https://index.example/simple" in settings.splitlines()
    assert ("cert = " in settings) == known

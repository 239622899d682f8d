"""What the test cluster's programs are built from decides where they are kept."""

import re
import shutil
from pathlib import Path

import pytest

from cluster import build
from cluster.build import MODULES, SOURCES, Module, build_programs, find_programs
from cluster.control_plane import corefile
from cluster.errors import ClusterError
from cluster.progress import silent


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the Go sources, to be changed."""
    copy = tmp_path / "go"
    shutil.copytree(SOURCES, copy)
    monkeypatch.setattr(build, "SOURCES", copy)
    return copy


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.folder)
def test_every_module_is_pinned(module: Module) -> None:
    assert (SOURCES / module.folder / "go.sum").is_file()
    assert module.version().startswith("v") == bool(module.versioned)


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_another_source_has_another_place_in_the_cache(sources: Path, file: str) -> None:
    gpu = next(module for module in MODULES if module.folder == "gpu")
    before = gpu.key()
    with (sources / "gpu" / file).open("a") as text:
        text.write("\n// changed\n")
    assert gpu.key() != before


def test_other_flags_have_another_place_in_the_cache() -> None:
    packages = {"gpu-plugin": "."}
    assert Module("gpu", "", packages).key() != Module("gpu", "", packages, tags="other").key()


def test_programs_report_the_pinned_version() -> None:
    kubernetes = MODULES[0]
    major, minor, _ = kubernetes.version().removeprefix("v").split(".")
    assert f"gitVersion={kubernetes.version()} " in f"{kubernetes.flags()[-1]} "
    assert f"gitMajor={major} " in kubernetes.flags()[-1]
    assert f"gitMinor={minor}" in kubernetes.flags()[-1]


def test_dns_links_the_plugins_that_the_clusters_corefile_names(tmp_path: Path) -> None:
    main = (SOURCES / "coredns" / "main.go").read_text()
    linked = re.findall(r'_ "github.com/coredns/coredns/plugin/(\w+)"', main)
    assert linked == re.findall(r"^  (\w+)", corefile("10.0.0.2", tmp_path), re.MULTILINE)


def test_what_dns_and_prometheus_have_in_common_is_of_one_version_and_so_compiled_once() -> None:
    dns, prometheus = (
        dict(re.findall(r"^(?:require)?\s*(\S+) (v\S+)", (SOURCES / name / "go.mod").read_text(), re.MULTILINE))
        for name in ("coredns", "prometheus")
    )
    common = dns.keys() & prometheus.keys()
    assert "k8s.io/client-go" in common
    assert {name: dns[name] for name in common} == {name: prometheus[name] for name in common}


def test_an_empty_cache_has_no_programs_and_without_go_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_programs(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"no Go .* run make cluster-deps"):
        build_programs(tmp_path, silent)


def a_go(path: Path, version: str) -> Path:
    """A program that says what Go's would of its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'go version {version} linux/amd64'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["go1.21.0", "go1.26.8", "go2.0", "devel go1.27-5f1b9b3"])
def test_the_go_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    own, found = a_go(build.installed_go(tmp_path), "go1.26.8"), a_go(tmp_path / "bin" / "go", version)
    monkeypatch.setenv("PATH", f"{found.parent}:/usr/bin:/bin")
    assert build.find_go(tmp_path) == found
    own.unlink()
    assert build.find_go(tmp_path) == found


def test_a_go_that_is_too_old_to_fetch_the_pinned_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = a_go(tmp_path / "bin" / "go", "go1.19.8")
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    with pytest.raises(ClusterError, match="run make cluster-deps"):
        build.find_go(tmp_path)
    own = a_go(build.installed_go(tmp_path), "go1.26.8")
    assert build.find_go(tmp_path) == own

"""What the Dockerfile promises, read from its text: nothing is built here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[3]
IMAGES = ("operator", "api", "worker")
SITE_PACKAGES = "/opt/modelpool/lib/python3.11/site-packages"


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str


def stages() -> dict[str, list[Instruction]]:
    """The instructions of each stage by its name; its own FROM is the first."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    found: dict[str, list[Instruction]] = {}
    for logical in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not logical.strip():
            continue
        name, _, text = logical.strip().partition(" ")
        if name == "FROM":
            current = found.setdefault(text.rpartition(" AS ")[2], [])
        current.append(Instruction(name, " ".join(text.split())))
    return found


def of(stage: str, name: str) -> list[str]:
    return [instruction.text for instruction in stages()[stage] if instruction.name == name]


def lets_in(path: str) -> bool:
    """Whether .dockerignore lets a path into the build: the last pattern that matches it or a folder above decides."""
    verdict = True
    above = [path, *map(str, PurePosixPath(path).parents)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(matches(part, pattern) for part in above):
            verdict = line.startswith("!")
    return verdict


def matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return PurePosixPath(path).name == pattern.removeprefix("**/")
    return fnmatch(path, pattern) and path.count("/") == pattern.count("/")


def sources() -> set[str]:
    """What the stages copy out of the working tree."""
    texts = [text for stage in stages() for text in of(stage, "COPY") if not text.startswith("--from")]
    return {source for text in texts for source in text.split()[:-1]}


def test_all_stages_stand_on_the_one_base_or_on_each_other() -> None:
    bases = [of(stage, "FROM")[0].partition(" AS ")[0] for stage in stages()]
    assert set(bases) == {"docker.io/library/debian:bookworm-slim", "python"}
    assert bases.count("docker.io/library/debian:bookworm-slim") == 1


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_without_rights(image: str) -> None:
    assert of(image, "USER") == ["65532:65532"]


@pytest.mark.parametrize("image", IMAGES)
def test_the_entry_point_is_the_part_itself_without_a_shell(image: str) -> None:
    (text,) = of(image, "ENTRYPOINT")
    program, dash_m, module = json.loads(text)
    assert (program, dash_m, module) == ("/opt/modelpool/bin/python", "-m", f"modelpool_{image}")
    assert (ROOT / image / module / "__main__.py").is_file()
    for command in of(image, "CMD"):
        assert isinstance(json.loads(command), list)


@pytest.mark.parametrize("image", IMAGES)
def test_dependencies_are_its_own_lock_file_with_hashes(image: str) -> None:
    assert f"requirements/{image}.txt /opt/modelpool/requirements.txt" in of(image, "COPY")
    (install,) = [text for text in of(image, "RUN") if "pip install" in text]
    assert "--require-hashes -r /opt/modelpool/requirements.txt" in install
    assert "--only-binary :all:" in install
    assert "dpkg --purge python3-pip-whl" in install, "no pip stays in an image"


@pytest.mark.parametrize("image", IMAGES)
def test_a_lock_file_of_an_image_holds_pins_and_hashes_only(image: str) -> None:
    lines = (ROOT / "requirements" / f"{image}.txt").read_text().splitlines()[2:]
    pin = re.compile(r"[a-z0-9][a-z0-9.-]*==\S+ \\")
    hashed = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not pin.fullmatch(line) and not hashed.fullmatch(line)] == []
    pins = [number for number, line in enumerate(lines) if pin.fullmatch(line)]
    assert pins
    assert all(hashed.fullmatch(lines[number + 1]) for number in pins)


@pytest.mark.parametrize("image", ["operator", "api"])
def test_operator_and_api_come_without_torch(image: str) -> None:
    assert not re.search(
        r"^(torch|nvidia-|diffusers|transformers)", (ROOT / f"requirements/{image}.txt").read_text(), re.M
    )


@pytest.mark.parametrize("image", IMAGES)
def test_our_code_is_the_last_layer(image: str) -> None:
    last = stages()[image][-1]
    assert (last.name, last.text) == ("COPY", f"--from={image}-code /code {SITE_PACKAGES}")
    assert of(f"{image}-code", "COPY") == [f"core {image} /code/"]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("label", ["title", "description", "licenses", "version", "revision", "source"])
def test_an_image_says_what_it_is(image: str, label: str) -> None:
    assert f"org.opencontainers.image.{label}=" in " ".join(of(image, "LABEL"))


def test_nothing_says_where_packages_come_from() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"^\s*ADD\b|://|--index-url|--extra-index|--find-links|--trusted-host|PIP_INDEX", text, re.M)


def test_what_is_copied_is_let_into_the_build() -> None:
    assert sources() == {
        "LICENSE",
        "core",
        "operator",
        "api",
        "worker",
        *(f"requirements/{image}.txt" for image in IMAGES),
    }
    for source in sources():
        assert (ROOT / source).exists()
        assert lets_in(source), source
    assert lets_in("core/modelpool/queue/lua/claim.lua")


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".modelpool/logs/api.log",
        "models/shapes-flat/model_index.json",
        "out/picture.png",
        "tests/conftest.py",
        "requirements/dev.txt",
        "core/modelpool/__pycache__/jobs.cpython-311.pyc",
        "api/web/node_modules/some/file.js",
    ],
)
def test_nothing_else_is_let_into_the_build(path: str) -> None:
    assert not lets_in(path)

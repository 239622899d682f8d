"""Lock the dependencies of pyproject.toml with hashes, one file per use; `--check` says offline whether they are current.

`requirements/dev.txt` is everything, for `make setup`; the others are what one image needs, at the same versions.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
IMAGES = ("operator", "api", "worker")  # each an extra of the same name
# What a dependency asks for on Python 3.11.2 alone, Debian 12's: redis before 3.11.3. Harmless on later ones, where one may lock.
ON_OLDER_PYTHON = {"async-timeout>=4.0.3,<6"}
HEADER = "# Locked for Linux x86_64 and Python 3.11 by `make lock`; not to be edited.\n# Inputs: sha256:{digest}\n"


def inputs() -> dict[str, list[str]]:
    """What pyproject.toml asks for, per file, with references to our own extras resolved."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]

    def resolved(requirements: list[str]) -> set[str]:
        found = set()
        for requirement in requirements:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if own:
                found |= {one for extra in own[1].split(",") for one in resolved(extras[extra])}
            else:
                found.add(requirement)
        return found

    base = set(project["dependencies"]) | ON_OLDER_PYTHON
    wanted = {"dev": base | resolved(document["dependency-groups"]["dev"])}
    wanted |= {image: base | resolved(extras[image]) for image in IMAGES}
    return {name: sorted(requirements) for name, requirements in wanted.items()}


def header(requirements: list[str]) -> str:
    """The first lines of a lock file: they change with the requirements that it was made from."""
    return HEADER.format(digest=hashlib.sha256("\n".join(requirements).encode()).hexdigest())


def stale() -> list[str]:
    """The lock files that were not made from today's pyproject.toml, or that say where packages come from."""
    wrong = []
    pins: dict[str, str] = {}
    for name, requirements in inputs().items():
        path = FOLDER / f"{name}.txt"
        text = path.read_text() if path.exists() else ""
        if not text.startswith(header(requirements)):
            wrong.append(f"{path.relative_to(ROOT)} is older than pyproject.toml: run `make lock`")
        if re.search(r"://|^-", text, re.MULTILINE):
            wrong.append(f"{path.relative_to(ROOT)} names an index or a place: only versions and hashes belong there")
        for package, version in re.findall(r"^(\S+?)==(\S+)", text, re.MULTILINE):
            if pins.setdefault(package, version) != version:
                wrong.append(
                    f"{path.relative_to(ROOT)} has {package} {version}, dev.txt {pins[package]}: run `make lock`"
                )
    return wrong


def lock(upgrade: bool) -> None:
    """Resolve dev.txt, where versions stay what they are unless the requirements or `upgrade` move them; cut the others out."""
    FOLDER.mkdir(exist_ok=True)
    wanted = inputs()
    path = FOLDER / "dev.txt"
    print(
        f"locking {path.relative_to(ROOT)}; this looks into every package, torch included, and takes minutes",
        flush=True,
    )
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--output-file", str(path)]
    command += ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"]
    if upgrade:
        command += ["--upgrade"]
    environment = {key: value for key, value in os.environ.items() if key != "PIP_FIND_LINKS"}
    subprocess.run([*command, "-"], input="\n".join(wanted["dev"]), text=True, check=True, env=environment)
    locked = path.read_text().replace("-r -", "modelpool")
    locked = re.sub(r"\n# The following packages are considered.*\n(?:#.*\n)*", "\n", locked)
    path.write_text(header(wanted["dev"]) + locked)

    entries = locked_entries(path.read_text())
    for image in IMAGES:
        names = closure({package(requirement) for requirement in wanted[image]}, entries)
        # Without the comments: who else wants a package changes often, and a changed file means a layer of gigabytes anew.
        text = "".join(re.sub(r"^ +#.*\n", "", entries[name], flags=re.MULTILINE) for name in sorted(names))
        (FOLDER / f"{image}.txt").write_text(header(wanted[image]) + text)


def package(requirement: str) -> str:
    """The normalised name in a requirement: `redis[hiredis]>=8` is redis."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]).lower()


def locked_entries(text: str) -> dict[str, str]:
    """The lines of each package: the pin, its hashes, and the comment that says who wants it."""
    blocks = re.findall(r"^\S+==.*\n(?:[ ]+.*\n)*", text, re.MULTILINE)
    return {package(block): block for block in blocks}


def closure(names: set[str], entries: dict[str, str]) -> set[str]:
    """Those packages and all that they want. pip-compile wrote down who wants whom ("via")."""
    wants: dict[str, set[str]] = {}
    for name, block in entries.items():
        for wanting in re.findall(r"^ +#(?: via)? +(\S+)$", block, re.MULTILINE):
            wants.setdefault(package(wanting), set()).add(name)
    found: set[str] = set()
    ahead = set(names)
    while ahead:
        found |= ahead
        ahead = {dependency for name in ahead for dependency in wants.get(name, set())} - found
    return found


def main() -> int:
    """Lock, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    parser.add_argument("--upgrade", action="store_true", help="take the latest versions that pyproject.toml allows")
    arguments = parser.parse_args()
    if not arguments.check:
        lock(arguments.upgrade)
    problems = stale()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

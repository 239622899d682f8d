"""A virtual environment for each peer, made once from its hash-locked requirements and kept outside the checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


def cache() -> Path:
    """Where environments are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "modelpool" / "bench"


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment; the environment is made where it is missing.

    :raises SystemExit: pip could not install what is locked; its words say why.
    """
    lock = REQUIREMENTS / f"{peer}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache() / f"{peer}-{hashlib.sha256(lock.read_bytes() + version.encode()).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    print(f"installing {peer} into {folder}, this once …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    if subprocess.run([*install, "--require-hashes", "-r", str(lock)], check=False).returncode:
        raise SystemExit(f"{peer} could not be installed: see above, mend it and run this again")
    (folder / "complete").touch()
    return python

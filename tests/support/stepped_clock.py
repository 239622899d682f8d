"""The wall clock of one real process, set forward and back by a test: a small library that is preloaded into it."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class CompilerMissingError(Exception):
    """No C compiler here; the message is the line to run."""


def compiler() -> Path:
    """The C compiler."""
    found = shutil.which("cc")
    if found is None:
        raise CompilerMissingError("no C compiler here; as root, run: apt-get install -y gcc libc6-dev")
    return Path(found)


class SteppedClock:
    """A step of 0 at first. Start the process with ``environment``; ``set`` works at once, while it runs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        library, self._file = folder / "stepped_clock.so", folder / "step"
        subprocess.run([compiler(), "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        """So much later than the system's clock, or earlier."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            page[:8] = struct.pack("=q", round(seconds * 1000))

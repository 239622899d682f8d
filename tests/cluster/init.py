"""The first process of a machine: gives it folders of its own, then buries the dead. Started by `Machine.boot` in fresh namespaces, as a script.

Everything else on the machine runs in the same process and mount namespaces: when this process ends, the kernel kills it all and unmounts everything.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

READY = "ready"


def main() -> None:
    """Cover the host's folders, say that the machine is ready, and reap until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="host name of the machine")
    parser.add_argument(
        "--state", required=True, type=Path, help="state folder of the cluster; tells whose machine this is"
    )
    parser.add_argument("--cover", action="append", default=[], metavar="FOLDER=SOURCE", help="show SOURCE at FOLDER")
    parser.add_argument(
        "--keep", action="append", default=[], type=Path, help="folder to keep visible under a covered one"
    )
    arguments = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    covers = dict(cover.split("=", 1) for cover in arguments.cover)
    _cover({Path(folder): Path(source) for folder, source in covers.items()}, arguments.keep)
    Path("/proc/sys/kernel/hostname").write_text(arguments.name)
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    while signal.sigwait({signal.SIGCHLD, signal.SIGTERM}) == signal.SIGCHLD:
        _reap()


def _cover(covers: dict[Path, Path], keep: list[Path]) -> None:
    # Sources are opened first: a cover may hide another's source, or a folder that has to stay.
    opened = {path: os.open(path, os.O_PATH) for path in {*covers.values(), *keep}}
    for folder, source in covers.items():
        folder.mkdir(parents=True, exist_ok=True)
        _bind(opened[source], folder)
    for path in keep:
        if any(path.is_relative_to(folder) for folder in covers):
            path.mkdir(parents=True, exist_ok=True)
            _bind(opened[path], path)
    for descriptor in opened.values():
        os.close(descriptor)


def _bind(source: int, folder: Path) -> None:
    # Not canonicalized: the name behind the descriptor may be covered by now.
    subprocess.run(["mount", "-c", "--rbind", f"/proc/self/fd/{source}", folder], check=True, pass_fds=[source])


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()

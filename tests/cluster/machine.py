"""One machine of the cluster: a process namespace with a network, mounts and a host name of its own.

It is what its first process (`init.py`) keeps alive. Processes are started in it with `nsenter`, by whoever knows the state folder: the machine has no
daemon of ours, and nothing about it is remembered but what is written in its folder.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster import init, processes
from cluster.errors import ClusterError
from cluster.layout import Layout
from cluster.waiting import wait_for

STOP_SECONDS = 30
LOG_LINES = 15
# Programs on the machine write here; on the host nothing must appear.
OWN_FOLDERS = ("/run", "/tmp", "/var/lib", "/var/log")


def run(*command: str | Path, seconds: float = 120, stdin: str | None = None) -> str:
    """Run a program to its end and return its standard output.

    Raises ClusterError with its standard error when it fails, is missing or takes too long.
    """
    name = " ".join(str(part) for part in command)
    try:
        outcome = subprocess.run(command, check=False, input=stdin, capture_output=True, text=True, timeout=seconds)
    except FileNotFoundError as error:
        raise ClusterError(f"no {error.filename}: run make cluster-deps") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{name}: not done within {seconds:.0f} s") from error
    if outcome.returncode:
        raise ClusterError(f"{name}: {(outcome.stderr or outcome.stdout).strip()}")
    return outcome.stdout


def _content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@dataclass(frozen=True)
class Program:
    """How a process of a machine is started; kept beside its pid, so that anybody can start it again."""

    name: str
    command: list[str]
    environment: dict[str, str]


class Machine:
    """A machine of the cluster, running or not."""

    def __init__(self, name: str, layout: Layout) -> None:
        self.name = name
        self.folder = layout.machine(name)
        self._layout = layout

    @property
    def pid(self) -> int:
        """The first process, as the host numbers it. Raises ClusterError when the machine does not run."""
        pid = self.find()
        if pid is None:
            raise ClusterError(f"{self.name} is not running")
        return pid

    def find(self) -> int | None:
        """The first process, as the host numbers it; None when the machine does not run."""
        script, name, state = init.__file__, f"--name={self.name}", f"--state={self._layout.state}"
        return next(
            (
                pid
                for pid in processes.all_pids()
                if {name, state} <= set(line := processes.command_line(pid))
                and Path(script).name in {Path(part).name for part in line}
                and processes.inner_pid(pid) == 1
            ),
            None,
        )

    def boot(self) -> None:
        """Start the first process; returns when the machine's folders are in place."""
        covers = []
        for folder in OWN_FOLDERS:
            own = self.folder / folder.strip("/").replace("/", "-")
            own.mkdir(parents=True, exist_ok=True)
            covers.append(f"--cover={folder}={own}")
        namespaces = [
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--mount-proc",
            "--propagation=private",
            "--kill-child",
        ]
        me = [f"--name={self.name}", f"--state={self._layout.state}"]
        keep = [f"--keep={folder}" for folder in (self._layout.state, self._layout.cache)]
        # setsid leaves at once: the machine is nobody's child.
        command = ["setsid", "--fork", "unshare", *namespaces, sys.executable, "-I", init.__file__, *me, *covers, *keep]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        process.wait()
        with process.stdout as said:
            line = said.readline()
            if line.strip() != init.READY:
                raise ClusterError(f"{self.name} did not start: {line}{said.read()}".strip())

    def run(self, *command: str | Path, seconds: float = 120, stdin: str | None = None) -> str:
        """`run`, on this machine."""
        return run(*self._enter(), *command, seconds=seconds, stdin=stdin)

    def ip(self, command: str) -> None:
        """Run `ip COMMAND` on this machine's network; processes are numbered as the host does."""
        run("nsenter", f"--target={self.pid}", "--net", "ip", *command.split())

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start a process that goes on until it is stopped; its output goes to the log of that name."""
        self._start(Program(name, [str(part) for part in command], dict(environment or {})))

    def start_again(self, name: str) -> None:
        """Start a process, stopped or killed before, the way it was started first."""
        if self.process(name):
            raise ClusterError(f"{name} on {self.name} runs already")
        self._start(Program(**json.loads(self._file(name, "json").read_text())))

    def _start(self, program: Program) -> None:
        self._file(program.name, "json").parent.mkdir(exist_ok=True)
        self._file(program.name, "json").write_text(json.dumps(asdict(program)))
        self._layout.logs.mkdir(exist_ok=True)
        pid_file = self._file(program.name, "pid")
        # setsid leaves at once; the process then belongs to the machine's first one.
        note = f'echo $$ >"{pid_file}" && exec "$0" "$@"'
        command = [*self._enter(), "setsid", "--fork", "sh", "-c", note, *program.command]
        pid_file.unlink(missing_ok=True)
        with self.log(program.name).open("ab") as log:
            subprocess.run(
                command,
                check=True,
                env={**os.environ, **program.environment},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        # On a busy machine the shell has its first turn later; until then nobody would find the process.
        wait_for(f"{program.name} on {self.name} is started", lambda: _content(pid_file), STOP_SECONDS)

    def log(self, name: str) -> Path:
        """Where a process of this machine writes."""
        return self._layout.logs / f"{self.name}.{name}.log"

    def last_words(self, name: str) -> str:
        """The end of a process's log, and whether it still runs: for error messages."""
        log = self.log(name)
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else []
        state = "runs" if self.process(name) else "has ended"
        return "\n".join([f"{name} on {self.name} {state}; the end of {log}:", *lines])

    def process(self, name: str) -> int | None:
        """The process of that name, as the host numbers it; None when it does not run."""
        first = self.find()
        try:
            inner = int(self._file(name, "pid").read_text())
        except (OSError, ValueError):
            return None
        if first is None:
            return None
        space = processes.pid_namespace(first)
        return next(
            (
                pid
                for pid in processes.all_pids()
                if processes.pid_namespace(pid) == space
                and processes.inner_pid(pid) == inner
                and not processes.has_ended(pid)
            ),
            None,
        )

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a process of this machine a signal and wait until it is gone. One that does not run is stopped already."""
        pid = self.process(name)
        if pid is not None and not processes.end(pid, number, STOP_SECONDS):
            raise ClusterError(f"{name} on {self.name} did not end within {STOP_SECONDS} s of {number.name}")

    def kill(self, name: str) -> None:
        """End a process of this machine without notice."""
        self.stop(name, signal.SIGKILL)

    def halt(self) -> None:
        """End the machine: all its processes, mounts and network devices go with the first process."""
        pid = self.find()
        if pid is not None and not processes.end(pid, signal.SIGKILL, STOP_SECONDS):
            raise ClusterError(f"{self.name} (process {pid}) did not end within {STOP_SECONDS} s of SIGKILL")

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--uts", "--ipc", "--wd=/", "--"]

    def _file(self, name: str, suffix: str) -> Path:
        return self.folder / "processes" / f"{name}.{suffix}"

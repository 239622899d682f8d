"""Exit codes of the command line, and the error that carries one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a shell script may act on. `modelpool --help` shows this list."""

    OK = 0
    FAILED = 1
    """The job, or something else that was asked for, failed."""
    USAGE = 2
    """The command line itself is wrong."""
    UNREACHABLE = 3
    """No modelpool answers at the URL."""
    REFUSED = 4
    """The API refused: invalid parameters, quota, unknown model or job, overload."""
    INVALID_SPEC = 10
    MODEL_MISSING = 11
    PORT_TAKEN = 12
    TOO_LITTLE_MEMORY = 13
    STATE_IN_USE = 14
    TOO_FEW_GPUS = 15
    START_FAILED = 16
    """Redis, operator, API or a worker could not be started, or none of the pool's models be loaded."""


EXIT_MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "the job, or what was asked for, failed",
    Exit.USAGE: "wrong command line",
    Exit.UNREACHABLE: "no modelpool answers at the URL",
    Exit.REFUSED: "the API refused (parameters, quota, unknown model or job, overload)",
    Exit.INVALID_SPEC: "the pool file is missing, broken or cannot work",
    Exit.MODEL_MISSING: "a model's folder is missing, or not whole",
    Exit.PORT_TAKEN: "the port is taken",
    Exit.TOO_LITTLE_MEMORY: "this machine has too little memory for the pool",
    Exit.STATE_IN_USE: "another `modelpool up` uses the state folder",
    Exit.TOO_FEW_GPUS: "this machine has fewer GPUs than the pool has slots",
    Exit.START_FAILED: "Redis, the operator, the API or a worker could not be started, or no model be loaded",
}


class CommandFailed(Exception):
    """What a command ends with when it cannot do its work: one line for people, one code for scripts."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

"""httpx without its own command line, which it would import with all that draws it."""

import sys
from types import ModuleType


def _main() -> None:
    """In the place of httpx's command line, which nobody runs from here."""


if "httpx" not in sys.modules:
    _command_line = ModuleType("httpx._main")
    _command_line.main = _main  # type: ignore[attr-defined]  # the only name that httpx takes from there
    sys.modules["httpx._main"] = _command_line

import httpx  # noqa: E402  # after what stands in for its command line

__all__ = ["httpx"]

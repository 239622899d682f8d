"""Preloaded into the fork server: ties its life to the supervisor's.

A fork server ends by itself when nobody could give it orders any more, but its children count as somebody.
"""

import os
import signal

from modelpool_local.launch import die_with_parent

SUPERVISOR = "MODELPOOL_SUPERVISOR"
"""Variable with the supervisor's process id; absent where this module is only looked at."""

if SUPERVISOR in os.environ:
    die_with_parent(int(os.environ[SUPERVISOR]), signal.SIGKILL)

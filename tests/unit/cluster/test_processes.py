"""What is known of processes."""

import os
import subprocess

from cluster import processes
from support.waiting import block_until


def test_a_process_that_runs_has_not_ended() -> None:
    assert not processes.has_ended(os.getpid())


def test_one_that_has_ended_is_known_before_and_after_its_parent_hears_of_it() -> None:
    with subprocess.Popen(["true"]) as child:
        block_until(lambda: processes.has_ended(child.pid), 10, what="it has ended")
        assert processes.inner_pid(child.pid) is not None, "nobody has waited for it yet"
    assert processes.has_ended(child.pid)

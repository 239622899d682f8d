import socket
import subprocess
import sys
from pathlib import Path

from support.ports import BEHIND, BLOCK, FIRST, unused_port

TESTS = Path(__file__).parents[2]
_TAKE = f"""
import sys
from support.ports import unused_port
print(*(unused_port() for _ in range({2 * BLOCK})), flush=True)
sys.stdin.read()
"""


def test_no_port_is_given_out_twice() -> None:
    given = [unused_port() for _ in range(2 * BLOCK)]
    assert len(set(given)) == len(given)
    assert all(FIRST <= port < BEHIND for port in given)


def test_processes_that_run_at_one_moment_are_given_different_ports() -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", _TAKE], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    given = [int(port) for one in running if one.stdout is not None for port in one.stdout.readline().split()]
    for one in running:
        one.communicate()
    assert len(set(given)) == len(given) == 4 * BLOCK


def test_a_port_on_which_somebody_listens_is_left_out() -> None:
    while (following := unused_port() + 1) % BLOCK == 0:
        pass  # the last of its block
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", following))
        assert unused_port() != following

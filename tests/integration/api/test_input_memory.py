"""What reading input images takes of a process's memory: what the chart's limit is made for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelpool_api.settings import Settings
from support.pictures import picture

PIXELS = Settings().max_input_pixels
SIDE = (4096, PIXELS // 4096)
BYTES_A_PIXEL = 18
"""docs/operations.md says so."""

_READ_AT_ONCE = """
import asyncio, sys
from pathlib import Path
from PIL import Image
from modelpool_api.inputs import Inputs
from modelpool_api.pools import Pools
from modelpool.store.open import open_store

def most():
    line, = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

async def main():
    Image.init()
    data = Path(sys.argv[1]).read_bytes()
    inputs = Inputs(open_store("memory:"), Pools(None, None), int(sys.argv[2]))
    before = most()
    async def one(whose):
        async with inputs.turns.turn(whose, 1):
            await inputs.read(data)
    await asyncio.gather(one("somebody"), one("another"))
    print(most() - before)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(picture("WEBP", SIDE, (9, 99, 199, 99), "RGBA", lossless=True, method=0), id="webp-alpha"),
        pytest.param(picture("JPEG", SIDE, (9, 99, 199), progressive=True, subsampling=0), id="jpeg-progressive"),
    ],
)
def test_two_of_the_largest_at_once_take_no_more_than_one(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(data)
    command = [sys.executable, "-c", _READ_AT_ONCE, str(file), str(PIXELS)]
    taken = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert taken <= BYTES_A_PIXEL * PIXELS

"""Where input images come from, and how many are read at once."""

from __future__ import annotations

import pytest

from modelpool.errors import InvalidInput
from modelpool_api.inputs import decode_base64


@pytest.mark.parametrize("text", ["%", "a", "aGk", "data:text/plain,hi", "data:;base64", "aGk=\n"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"image\.base64"):
        decode_base64(text)


@pytest.mark.parametrize("text", ["aGk=", "data:image/png;base64,aGk=", "data:image/png;charset=utf-8;base64,aGk="])
def test_base64_is_read_with_or_without_a_data_url(text: str) -> None:
    assert decode_base64(text) == b"hi"

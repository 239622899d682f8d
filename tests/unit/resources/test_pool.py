"""A pool's identity gives its keys and the start of its job ids."""

from hypothesis import given
from hypothesis import strategies as st

from modelpool.resources.pool import PoolRef


def test_keys_are_prefixed_with_the_pool_in_braces() -> None:
    assert PoolRef("art", "studio").key("slot", "s-0", "heartbeat") == "mpl:{art/studio}:slot:s-0:heartbeat"


def test_a_bare_name_is_in_the_default_namespace() -> None:
    assert PoolRef.parse("studio") == PoolRef("default", "studio")
    assert PoolRef.parse("art/studio") == PoolRef("art", "studio")


@given(st.text(min_size=1, max_size=60))
def test_short_ids_are_eight_plain_characters(name: str) -> None:
    short = PoolRef("default", name).short_id
    assert len(short) == 8
    assert short.isalnum()
    assert short == short.lower()

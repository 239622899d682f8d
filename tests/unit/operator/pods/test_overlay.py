"""The merge rules of podTemplate."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool_operator.runtimes.pods.overlay import MERGED_BY, overlay


@pytest.mark.parametrize(
    ("base", "over", "wanted"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="mappings merge"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}, id="at every depth"),
        pytest.param({"a": 1, "b": 2}, {"a": None}, {"b": 2}, id="null removes"),
        pytest.param({"args": ["x", "y"]}, {"args": ["z"]}, {"args": ["z"]}, id="a plain list replaces"),
        pytest.param(
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "b"}]},
            id="tolerations have no name: they replace",
        ),
        pytest.param(
            {"containers": [{"name": "worker", "image": "ours", "tty": False}]},
            {"containers": [{"name": "proxy"}, {"name": "worker", "image": "theirs"}]},
            {"containers": [{"name": "worker", "image": "theirs", "tty": False}, {"name": "proxy"}]},
            id="containers merge by name and ours stays first",
        ),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            {
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ]
            },
            id="a variable has one source: theirs takes its place",
        ),
        pytest.param(
            {"volumes": [{"name": "tmp", "emptyDir": {}}]},
            {"volumes": [{"name": "tmp", "emptyDir": None, "hostPath": {"path": "/x"}}]},
            {"volumes": [{"name": "tmp", "hostPath": {"path": "/x"}}]},
            id="a volume has one source too",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
            {"volumeMounts": [{"name": "big", "mountPath": "/tmp"}, {"name": "c", "mountPath": "/c"}]},
            {"volumeMounts": [{"name": "big", "mountPath": "/tmp"}, {"name": "c", "mountPath": "/c"}]},
            id="mounts merge by path",
        ),
        pytest.param(
            {"containers": [{"name": "worker"}]}, {"containers": "x"}, {"containers": "x"}, id="nonsense wins"
        ),
    ],
)
def test_the_rules(base: Any, over: Any, wanted: Any) -> None:
    assert overlay(base, over) == wanted


names = st.sampled_from(["a", "b", "c"])
leaves = st.none() | st.booleans() | st.integers(0, 3) | names
keys = st.sampled_from([*MERGED_BY, "args", "x"])
entries = st.fixed_dictionaries({"name": names, "mountPath": names}, optional={"value": leaves, "x": leaves})
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(entries, max_size=3) | st.dictionaries(keys, inner | entries, max_size=4)
    ),
    max_leaves=12,
)
mappings = st.dictionaries(keys, documents | st.lists(entries, max_size=3), max_size=4)


@given(mappings, mappings)
def test_laying_the_same_over_it_again_changes_nothing(base: dict[str, Any], over: dict[str, Any]) -> None:
    once = overlay(overlay(None, base), over)
    assert overlay(once, over) == once


@given(mappings)
def test_an_empty_overlay_changes_nothing(base: dict[str, Any]) -> None:
    clean = overlay(None, base)
    assert overlay(clean, {}) == clean


@given(mappings, mappings)
def test_the_arguments_stay_as_they_are(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = repr((base, over))
    overlay(base, over)
    assert repr((base, over)) == before

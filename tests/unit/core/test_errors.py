"""The error tree is what its drawing says, and every code means one thing."""

import inspect

from modelpool import errors
from modelpool.errors import ModelpoolError

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, ModelpoolError)]


def test_every_error_stands_in_the_drawing_below_its_parent() -> None:
    drawing = (errors.__doc__ or "").splitlines()
    depth = {cls: _column(drawing, cls.__name__) for cls in ALL}
    for cls in ALL:
        if cls is not ModelpoolError:
            assert depth[cls] > depth[cls.__bases__[0]], cls


def test_codes_are_unique_except_where_a_class_only_groups_others() -> None:
    codes = [cls.code for cls in ALL if "code" in vars(cls)]
    assert len(codes) == len(set(codes))


def test_an_error_says_its_sentence_and_carries_what_a_client_needs() -> None:
    error = errors.Overloaded("come back in 5 s", retry_after=5)
    assert str(error) == "come back in 5 s"
    assert (error.status, error.retry_after, error.param) == (503, 5, None)


def _column(lines: list[str], name: str) -> int:
    for line in lines:
        if name in line.replace("─", " ").split():
            return line.index(name)
    raise AssertionError(f"{name} is not drawn")

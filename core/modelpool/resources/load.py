"""Read a ModelPool from a YAML file. Whatever is wrong becomes one clear line: the file, the field and the cure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from modelpool.errors import InvalidSpec
from modelpool.resources.checks import Finding, check
from modelpool.resources.explain import findings_of
from modelpool.resources.spec import ModelPool

API_VERSION = "modelpool.dev/v1alpha1"
KIND = "ModelPool"


def load_pool(path: Path) -> ModelPool:
    """The one ModelPool of a file; documents of other kinds are passed over.

    :raises InvalidSpec: the file cannot be read, holds no pool or several, or the pool cannot work.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidSpec(f"{path}: there is no such file") from None
    except UnicodeDecodeError:
        raise InvalidSpec(f"{path}: is not UTF-8 text") from None
    except OSError as problem:
        raise InvalidSpec(f"{path}: cannot be read: {problem.strerror}") from None
    return parse_pool(text, str(path))


def parse_pool(text: str, name: str) -> ModelPool:
    """The one ModelPool of a YAML text; ``name`` says in messages where the text is from.

    :raises InvalidSpec: as :func:`load_pool`.
    """
    return read_pool(_the_pool(_documents(text, name), name), name)


def read_pool(document: Mapping[str, Any], name: str) -> ModelPool:
    """The pool that a document means; ``name`` says in messages where it is from.

    :raises InvalidSpec: the document is none, or the pool cannot work.
    """
    try:
        pool = ModelPool.model_validate(document)
    except ValidationError as error:
        raise _invalid(name, findings_of(error, ModelPool)) from None
    findings = check(pool.spec)
    if findings:
        raise _invalid(name, findings)
    return pool


def _invalid(name: str, findings: list[Finding]) -> InvalidSpec:
    return InvalidSpec(f"{name}: {'; '.join(map(str, findings))}", param=findings[0].field)


def _documents(text: str, name: str) -> list[Any]:
    try:
        return [document for document in yaml.load_all(text, Loader=_UniqueKeys) if document is not None]
    except yaml.MarkedYAMLError as error:
        where = f":{error.problem_mark.line + 1}:{error.problem_mark.column + 1}" if error.problem_mark else ""
        raise InvalidSpec(f"{name}{where}: broken YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidSpec(f"{name}: broken YAML: {' '.join(str(error).split())}") from None


def _the_pool(documents: list[Any], name: str) -> dict[str, Any]:
    pools = [document for document in documents if isinstance(document, dict) and document.get("kind") == KIND]
    if len(pools) == 1:
        return pools[0]
    if pools:
        raise InvalidSpec(f"{name}: holds {len(pools)} ModelPools; keep each in a file of its own")
    if not documents:
        raise InvalidSpec(f"{name}: is empty; a ModelPool starts with apiVersion: {API_VERSION} and kind: {KIND}")
    raise InvalidSpec(
        f"{name}: holds no ModelPool; it must say apiVersion: {API_VERSION} and kind: {KIND}", param="kind"
    )


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that occurs twice in one mapping, where YAML readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    "while reading a mapping", node.start_mark, f"the key {key!r} occurs twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)

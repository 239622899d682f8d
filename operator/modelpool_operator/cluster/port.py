"""The few things that the operator asks of a Kubernetes API server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modelpool.errors import ModelpoolError, NotFound, Unavailable

Manifest = dict[str, Any]
"""An object as JSON, with Kubernetes' own names."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object and where it lives."""

    api_version: str
    name: str
    plural: str

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The URL's path. Without a namespace, of all namespaces."""
        group = "api" if "/" not in self.api_version else "apis"
        parts = [group, self.api_version, *(("namespaces", namespace) if namespace else ()), self.plural]
        return "/" + "/".join([*parts, *(part for part in (name, subresource) if part)])


MODEL_POOL = Kind("modelpool.dev/v1alpha1", "ModelPool", "modelpools")
POD = Kind("v1", "Pod", "pods")
SECRET = Kind("v1", "Secret", "secrets")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
RESOURCE_CLAIM_TEMPLATE = Kind("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates")

FIELD_MANAGER = "modelpool"


def version_of(item: Manifest) -> int:
    """The resource version of an object: of two of the same object, the higher one is newer."""
    return int(item["metadata"]["resourceVersion"])


class ApiUnavailable(Unavailable):
    """The API server cannot be reached, or cannot answer now; ask again later."""

    code = "api_server_unavailable"


class ApiRefused(ModelpoolError):
    """The API server says no, and will say so again; the message is its own sentence."""

    code = "api_server_refused"
    status = 422


class ApiNotFound(NotFound):
    """There is no such object, or no such kind."""

    code = "object_not_found"


class ApiConflict(ModelpoolError):
    """The object exists already, or is another than the one that was meant."""

    code = "object_conflict"
    status = 409


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one moment."""

    items: tuple[Manifest, ...]
    resource_version: int


class Cluster(Protocol):
    """An API server. Every method raises :class:`ApiUnavailable`, and :class:`ApiRefused` for what it will not do."""

    async def list(self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> Listing:
        """Every object with these labels, in one namespace or in all.

        :raises ApiNotFound: the kind is unknown.
        """
        ...

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """One object; None when it is not there."""
        ...

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Make an object; ``manifest`` names its namespace.

        :raises ApiConflict: it exists already.
        """
        ...

    async def patch(
        self, kind: Kind, namespace: str, name: str, change: Manifest, *, subresource: str = ""
    ) -> Manifest:
        """Merge ``change`` into an object (RFC 7386). A ``metadata.uid`` in it is a precondition, but not of a status.

        :raises ApiNotFound: it is gone.
        :raises ApiConflict: it is another one by now.
        """
        ...

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Make an object, or bring it to what ``manifest`` says, server-side and by force."""
        ...

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, force: bool = False) -> None:
        """Begin to delete the object with this ``uid``; by ``force``, without waiting for its node.

        :raises ApiNotFound: it is gone.
        :raises ApiConflict: it is another one by now.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...

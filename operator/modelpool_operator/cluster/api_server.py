"""The port over ``kubernetes.aio``: plain JSON, without its models, because manifests are data to us."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from modelpool.errors import InvalidInput
from modelpool_operator.cluster.port import (
    FIELD_MANAGER,
    ApiConflict,
    ApiNotFound,
    ApiRefused,
    ApiUnavailable,
    Kind,
    Listing,
    Manifest,
)

log = logging.getLogger(__name__)

REQUEST_SECONDS = 15.0
CONNECTIONS = 20
PAGE = 50
"""Objects of a list that come in one answer: reading more of them at once would keep everything else waiting."""
Query = list[tuple[str, str]]
_JSON, _MERGE, _APPLY = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"


async def access(kubeconfig: str | None = None, context: str | None = None) -> Configuration:
    """How to reach the API server: as the service account of this pod, or else as the kubeconfig says.

    That is ``KUBECONFIG`` or ``~/.kube/config``, unless another file, or a context, is named.

    :raises InvalidInput: there is neither.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and context is None:
            try:
                load_incluster_config(configuration)
                return configuration
            except ConfigException as error:
                log.debug("not in a cluster: %s", error)
        await load_kube_config(config_file=kubeconfig, context=context, client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise InvalidInput(
            f"there is no way to the API server: {error}; run in a cluster, or set KUBECONFIG to a kubeconfig file"
        ) from None
    return configuration


class ApiServer:
    """See :class:`modelpool_operator.cluster.port.Cluster`."""

    def __init__(self, configuration: Configuration) -> None:
        configuration.connection_pool_maxsize = CONNECTIONS
        self.host: str = configuration.host
        self._client = ApiClient(configuration=configuration)

    async def list(self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> Listing:
        """See the port."""
        query = [("limit", str(PAGE))]
        if labels:
            query.append(("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items())))
        items: list[Manifest] = []
        following: Query = []
        while True:
            found = await self._ask("GET", kind.path(namespace), query + following)
            # A list leaves out what its items have in common.
            items += ({"apiVersion": kind.api_version, "kind": kind.name, **item} for item in found["items"] or ())
            if not (token := found["metadata"].get("continue")):
                return Listing(tuple(items), int(found["metadata"]["resourceVersion"]))
            following = [("continue", token)]

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """See the port."""
        try:
            return await self._ask("GET", kind.path(namespace, name), [])
        except ApiNotFound:
            return None

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """See the port."""
        query = [("fieldManager", FIELD_MANAGER), *([("dryRun", "All")] if dry_run else [])]
        return await self._ask("POST", kind.path(manifest["metadata"]["namespace"]), query, manifest)

    async def patch(
        self, kind: Kind, namespace: str, name: str, change: Manifest, *, subresource: str = ""
    ) -> Manifest:
        """See the port."""
        path = kind.path(namespace, name, subresource)
        return await self._ask("PATCH", path, [("fieldManager", FIELD_MANAGER)], change, _MERGE)

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """See the port."""
        metadata = manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        return await self._ask("PATCH", path, [("fieldManager", FIELD_MANAGER), ("force", "true")], manifest, _APPLY)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, force: bool = False) -> None:
        """See the port."""
        body: Manifest = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if force:
            body["gracePeriodSeconds"] = 0
        await self._ask("DELETE", kind.path(namespace, name), [], body)

    async def close(self) -> None:
        """See the port."""
        await self._client.close()

    async def _ask(
        self, method: str, path: str, query: Query, body: Manifest | None = None, content: str = _JSON
    ) -> Manifest:
        request = await self._client.param_serialize(
            method=method,
            resource_path=path,
            query_params=query,
            header_params={"Accept": _JSON, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._client.call_api(*request, _request_timeout=aiohttp.ClientTimeout(REQUEST_SECONDS))
            text = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {REQUEST_SECONDS:g} s"
            raise ApiUnavailable(f"the API server at {self.host} cannot be reached: {reason}") from error
        if not 200 <= response.status < 300:
            raise _error(response.status, text, self.host)
        answer: Manifest = json.loads(text)
        return answer


def _error(status: int, text: bytes, host: str) -> Exception:
    try:
        document = json.loads(text)
        message = str(document["message"])
        fields = {cause.get("field") for cause in (document.get("details") or {}).get("causes") or ()}
    except (ValueError, KeyError, TypeError, AttributeError):
        message, fields = text.decode(errors="replace").strip()[:300] or f"HTTP status {status}", set()
    if status == 404:
        return ApiNotFound(message)
    # A patch with another uid is told as an attempt to change the uid.
    if status == 409 or (status == 422 and fields == {"metadata.uid"}):
        return ApiConflict(message)
    if status in (400, 403, 413, 415, 422):
        return ApiRefused(message)
    return ApiUnavailable(f"the API server at {host} answers {status}: {message}")

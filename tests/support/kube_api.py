"""Plain requests to a Kubernetes API server: cheaper than a kubectl for each look, and what it says arrives as it is."""

import json
from typing import Any

from kubernetes import client


class Refused(Exception):
    """The API server's answer was not what was asked for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubeApi:
    """One API server."""

    def __init__(self, kube: client.ApiClient) -> None:
        self._kube = kube

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> dict[str, Any]:
        """One request, and the answer's document. Raises Refused."""
        parts = self._kube.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Content-Type": content, "Accept": accept},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self._kube.call_api(*parts)
        answer: dict[str, Any] = json.loads(response.read())
        if response.status >= 300:
            raise Refused(response.status, answer["message"])
        return answer

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """What is there."""
        return self.call("GET", path, **query)

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """What is in a list."""
        found: list[dict[str, Any]] = self.get(path, **query)["items"]
        return found

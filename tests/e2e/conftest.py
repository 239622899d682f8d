"""A client of the cluster that the scenarios run on."""

import os

import pytest
from kubernetes import client, config


@pytest.fixture(scope="session")
def kube() -> client.ApiClient:
    """A client of the cluster of ``E2E_KUBECONFIG``, with the rights of that file."""
    made: client.ApiClient = config.new_client_from_config(os.environ["E2E_KUBECONFIG"])
    return made

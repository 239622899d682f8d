"""The port's HTTP, against a server that answers as an API server does."""

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from modelpool_operator.cluster.api_server import PAGE, ApiServer
from modelpool_operator.cluster.port import POD

PODS = 2 * PAGE + 1


async def _page(request: web.Request) -> web.Response:
    """Pods as of version 7, in pages that name the next one."""
    start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
    end = min(PODS, start + limit)
    metadata = {"resourceVersion": "7", **({"continue": str(end)} if end < PODS else {})}
    names = [f"{request.query['labelSelector']}-{number}" for number in range(start, end)]
    return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]})


@pytest_asyncio.fixture
async def api() -> AsyncIterator[ApiServer]:
    app = web.Application()
    app.router.add_get("/api/v1/pods", _page)
    async with TestServer(app) as server:
        made = ApiServer(Configuration(host=str(server.make_url(""))))
        yield made
        await made.close()


async def test_a_long_list_comes_in_pages_and_is_whole(api: ApiServer) -> None:
    listing = await api.list(POD, None, {"a": "b"})
    assert [item["metadata"]["name"] for item in listing.items] == [f"a=b-{number}" for number in range(PODS)]
    assert {item["kind"] for item in listing.items} == {"Pod"}
    assert listing.resource_version == 7

"""The port's HTTP, against a server that answers as an API server does."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelpool_operator.cluster.api_server import PAGE, ApiServer, access
from modelpool_operator.cluster.port import POD

PODS = 2 * PAGE + 1


async def _page(request: web.Request) -> web.Response:
    """Pods as of version 7, in pages that name the next one."""
    start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
    end = min(PODS, start + limit)
    metadata = {"resourceVersion": "7", **({"continue": str(end)} if end < PODS else {})}
    names = [f"{request.query['labelSelector']}-{number}" for number in range(start, end)]
    return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]})


async def _echo(request: web.Request) -> web.Response:
    return web.json_response(await request.json())


@pytest_asyncio.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    """Of a server that lists pods and answers every write with what was sent."""
    app = web.Application()
    app.router.add_get("/api/v1/pods", _page)
    app.router.add_route("*", "/api/v1/namespaces/{path:.*}", _echo)
    async with TestServer(app) as server:
        path = tmp_path / "kubeconfig"
        path.write_text(
            f"apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{server.make_url('')}'}}}}]\n"
            "users: [{name: u, user: {token: t}}]\n"
            "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
        )
        yield path


@pytest_asyncio.fixture
async def api(kubeconfig: Path) -> AsyncIterator[ApiServer]:
    made = ApiServer(await access(str(kubeconfig)))
    yield made
    await made.close()


async def test_a_long_list_comes_in_pages_and_is_whole(api: ApiServer) -> None:
    listing = await api.list(POD, None, {"a": "b"})
    assert [item["metadata"]["name"] for item in listing.items] == [f"a=b-{number}" for number in range(PODS)]
    assert {item["kind"] for item in listing.items} == {"Pod"}
    assert listing.resource_version == 7


async def test_the_client_s_models_and_calls_are_not_needed_as_the_image_lacks_them(kubeconfig: Path) -> None:
    program = """
import asyncio, re, sys, kubernetes.aio.config

class Absent:
    def find_spec(self, name, path=None, target=None):
        if re.match(r"kubernetes(\\.aio)?\\.client\\.(api|models)\\.", name):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import modelpool_operator.commands.kubernetes
from modelpool_operator.cluster.api_server import ApiServer, access
from modelpool_operator.cluster.port import POD

async def main():
    api = ApiServer(await access(sys.argv[1]))
    pod = {"metadata": {"namespace": "art", "name": "one"}}
    assert len((await api.list(POD, None, {"a": "b"})).items) > 1
    assert await api.create(POD, pod) == await api.apply(POD, pod) == await api.patch(POD, "art", "one", pod) == pod
    await api.delete(POD, "art", "one", uid="u")
    await api.close()

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(kubeconfig), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert (process.returncode, said.decode()) == (0, "")

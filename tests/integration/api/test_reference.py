"""The page with a form for every route works without any other host."""

from __future__ import annotations

import re

import httpx
import pytest
from httpx import ASGITransport

from modelpool_api.app import create_app
from modelpool_api.context import open_context
from modelpool_api.settings import Settings

REFERENCES = re.compile(r"""(?:href|src)="([^"]*)"|url: '([^']*)'|url\(([^)]*)\)""")


def client(root_path: str = "") -> httpx.AsyncClient:
    app = create_app(open_context(Settings()))
    return httpx.AsyncClient(transport=ASGITransport(app, root_path=root_path), base_url="http://modelpool.test")


@pytest.mark.parametrize("root_path", ["", "/pool"])
async def test_all_that_the_page_names_is_served_by_this_process(root_path: str) -> None:
    async with client(root_path) as http:
        page = await http.get(f"{root_path}/docs")
        assert page.status_code == httpx.codes.OK
        assert "://" not in page.text
        names = ["".join(found) for found in REFERENCES.findall(page.text)]
        kinds = {name.rpartition(".")[2] for name in names}
        assert kinds == {"css", "js", "json", "png"}
        for name in names:
            assert name.startswith(f"{root_path}/"), name
            reply = await http.get(name)
            assert reply.status_code == httpx.codes.OK, name
            assert reply.content


async def test_the_style_names_no_other_host() -> None:
    async with client() as http:
        page = await http.get("/docs")
        (style,) = [found[0] for found in REFERENCES.findall(page.text) if found[0].endswith(".css")]
        text = (await http.get(style)).raise_for_status().text
    outside = [name for *_, name in REFERENCES.findall(text) if not name.strip("\"'").startswith("data:")]
    assert outside == []


async def test_the_document_is_shown_to_no_validator_elsewhere() -> None:
    async with client() as http:
        assert '"validatorUrl": null' in (await http.get("/docs")).text


async def test_files_beside_the_assets_are_not_served() -> None:
    async with client() as http:
        for name in ("../core.py", "..%2fcore.py", "redoc.standalone.js", ""):
            assert (await http.get(f"/docs/assets/{name}")).status_code == httpx.codes.NOT_FOUND

"""``/docs``: Swagger UI, with a form for every route, from files of this installation. Nothing comes from another host."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, HTTPException
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, Response

from modelpool_api.routes.process import Root

router = APIRouter(include_in_schema=False)

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_LIFE = "public, max-age=86400"


@router.get("/docs")
async def reference(root: Root) -> Response:
    """The page."""
    assets = f"{root}/docs/assets"
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="modelpool: the API",
        swagger_js_url=f"{assets}/swagger-ui-bundle.js",
        swagger_css_url=f"{assets}/swagger-ui.css",
        swagger_favicon_url=f"{assets}/favicon.png",
        # By default the document's address is sent to a validator on the internet.
        swagger_ui_parameters={"validatorUrl": None},
    )


@router.get("/docs/assets/{name}")
async def asset(name: str) -> Response:
    """One of the page's three files."""
    if name not in _ASSETS:
        raise HTTPException(404, "there is no such file")
    return FileResponse(
        str(files("fastapi_offline") / "static" / name), media_type=_ASSETS[name], headers={"Cache-Control": _LIFE}
    )

"""The root page: what this is, and where to read on."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from modelpool_api.routes.process import Root

router = APIRouter()

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>modelpool</title>
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}}
pre{{background:#8882;padding:1rem;overflow:auto;border-radius:.5rem}}:root{{color-scheme:light dark}}</style>
<h1>modelpool</h1>
<p>Pictures and videos from models that share a pool of GPUs.</p>
<pre>curl -s {root}/v1/jobs -H 'Prefer: wait=60' --json '{{"model": "…", "prompt": "…"}}'</pre>
<p><a href="{root}/docs">The API, with a form for every route</a> · <a href="{root}/v1/models">models</a> ·
<a href="{root}/readyz">readiness</a> · <a href="{root}/metrics">metrics</a></p>
</html>
"""


@router.get("/", include_in_schema=False)
async def page(root: Root) -> Response:
    """A plain page for people who open the address in a browser."""
    return HTMLResponse(_PAGE.format(root=root))

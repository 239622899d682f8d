"""The ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

import modelpool
from modelpool_api import background, problems
from modelpool_api.body_limit import BodyBudget, BodyLimit
from modelpool_api.context import Context
from modelpool_api.cors import NamedPages
from modelpool_api.identity.cookie_header import CookieHeader
from modelpool_api.outcomes import Outcomes
from modelpool_api.request_id import RequestId
from modelpool_api.routes import (
    accounts,
    admin,
    challenge,
    health,
    jobs,
    models,
    page,
    quota,
    reference,
    results,
    streams,
)
from modelpool_api.routes.examples import SECURITY_SCHEMES
from modelpool_api.schemas import JobBody, Problem
from modelpool_api.security_headers import SecurityHeaders
from modelpool_api.shortcut import Shortcut

log = logging.getLogger(__name__)

_SURFACES = (jobs, streams, results, models, quota, challenge, accounts, admin, health, reference, page)
_DESCRIPTION = """
Pictures and videos from diffusion models that share a pool of GPUs.

`POST /v1/jobs` puts a job into the queue and answers at once; follow it by polling, by long poll, by server-sent events
or over a WebSocket. Holding a job's id is the right to read and to cancel it. Errors are `application/problem+json`.
"""


def create_app(context: Context) -> FastAPI:
    """The application over ``context``. Nothing is contacted before it starts."""
    outcomes = Outcomes(context.metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with background.running(context, outcomes):
            yield

    app = _App(
        context,
        title="modelpool",
        summary="A GPU model service for diffusion models",
        description=_DESCRIPTION,
        version=modelpool.__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        root_path=context.settings.root_path,
        lifespan=lifespan,
        responses=problems.responses(431),
        # Starlette's would name the scheme and host that a proxy or the client made up, and prompt and key would follow it.
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: f"{route.tags[0]}_{route.name}" if route.tags else route.name,
    )
    app.state.context = context
    app.state.outcomes = outcomes
    # The first to be added is the last to be asked. A proxy may cut the path that it mounts us at, or leave it.
    paths = {jobs.PATH, f"{context.settings.root_path}{jobs.PATH}"}
    app.add_middleware(Shortcut, method="POST", paths=paths, endpoint=jobs.create, on_error=problems.answer_to)
    problems.install(app)
    for surface in _SURFACES:
        app.include_router(surface.router)
    app.state.routes = [route for surface in _SURFACES for route in surface.router.routes if isinstance(route, Route)]
    _add_schemas(app)
    return app


class _App(FastAPI):
    """FastAPI with what every answer gets around all of it: around the errors that nobody has foreseen, too."""

    def __init__(self, context: Context, **given: Any) -> None:
        self._cors, self._sizes = context.policy.cors, context.settings
        self._budget = BodyBudget(self._sizes.max_bodies_bytes)
        super().__init__(**given)

    def build_middleware_stack(self) -> ASGIApp:
        """The layers, from the inside out; Starlette's own of errors is inside of ours."""
        app: ASGIApp = BodyLimit(super().build_middleware_stack(), self._sizes.max_body_bytes, self._budget)
        if self._cors.allowed_origins:
            app = NamedPages(app, self._cors)
        return RequestId(SecurityHeaders(CookieHeader(app)))


def _add_schemas(app: FastAPI) -> None:
    """Define the schemas that routes only refer to, because they read bodies and write answers themselves."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        components = document.setdefault("components", {})
        components["securitySchemes"] = SECURITY_SCHEMES
        schemas = components.setdefault("schemas", {})
        for model in (JobBody, Problem):
            if model.__name__ not in schemas:
                shape = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas |= shape.pop("$defs", {})
                schemas[model.__name__] = shape
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document

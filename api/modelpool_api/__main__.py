"""``python -m modelpool_api``: one API process."""

from __future__ import annotations

import asyncio
import gc
import time
from socket import socket
from types import FrameType
from typing import Any

import click

from modelpool.errors import InvalidInput
from modelpool_api.process_logs import set_up_logs, uvicorn_level
from modelpool_api.settings import Settings

_D = Settings()
KIB = 1024


def _env(name: str) -> dict[str, Any]:
    return {"envvar": f"MODELPOOL_{name}", "show_envvar": True}


@click.command(context_settings={"show_default": True})
# Not MODELPOOL_PORT: Kubernetes gives that name to every pod beside a service called modelpool, and fills it with a URL.
@click.option(
    "--redis-url", default=_D.redis_url, help="redis://, rediss://, unix:// or redis+sentinel://", **_env("REDIS_URL")
)
@click.option(
    "--store-url", required=True, help="file:///folder, s3://bucket/prefix or http://host:port", **_env("STORE_URL")
)
@click.option("--host", default=_D.host, help="Address to listen on.", **_env("LISTEN_HOST"))
@click.option("--port", default=_D.port, type=click.IntRange(1, 65535), **_env("LISTEN_PORT"))
@click.option("--root-path", default=_D.root_path, help="Where a proxy mounts the API.", **_env("ROOT_PATH"))
@click.option("--api-keys", "api_keys_file", type=click.Path(dir_okay=False), help="YAML: keys.", **_env("API_KEYS"))
@click.option(
    "--admission", default="public", help="Who may take how much: public, local, or a YAML file.", **_env("ADMISSION")
)
@click.option(
    "--subject-secret",
    default="",
    show_default=False,
    help="Signs cookies; several: the newest first, with commas.",
    **_env("SUBJECT_SECRET"),
)
@click.option(
    "--admin-token",
    default="",
    show_default=False,
    help="Opens the admin API; 24 characters or more.",
    **_env("ADMIN_TOKEN"),
)
@click.option(
    "--max-body-bytes",
    default=_D.max_body_bytes,
    type=click.IntRange(64 * KIB),
    help="Of a request's body.",
    **_env("MAX_BODY_BYTES"),
)
@click.option(
    "--max-bodies-bytes",
    default=_D.max_bodies_bytes,
    type=click.IntRange(64 * KIB),
    help="Of all bodies that are read at a time, the first 64 KiB of each not counted; at least twice --max-body-bytes.",
    **_env("MAX_BODIES_BYTES"),
)
@click.option(
    "--max-input-pixels",
    default=_D.max_input_pixels,
    type=click.IntRange(4 * KIB),
    help="Of an input image.",
    **_env("MAX_INPUT_PIXELS"),
)
@click.option(
    "--drain-seconds",
    default=_D.drain_seconds,
    type=click.FloatRange(0),
    help="How long after SIGTERM clients are still answered, and asked to connect anew, elsewhere.",
    **_env("DRAIN_SECONDS"),
)
@click.option(
    "--log-level",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    **_env("LOG_LEVEL"),
)
@click.option(
    "--access-log/--no-access-log",
    default=False,
    help="One line a request, without address and ids.",
    **_env("ACCESS_LOG"),
)
def main(log_level: str, access_log: bool, root_path: str, **given: object) -> None:
    """Serve the modelpool API over HTTP. Redis may be away at the start: /readyz says so until it is there."""
    import uvicorn  # --help answers without loading the server

    from modelpool_api.app import create_app
    from modelpool_api.context import open_context
    from modelpool_api.http_protocol import HttpProtocol

    root = root_path.rstrip("/")
    set_up_logs(log_level, access=access_log, root=root)
    try:
        settings = Settings(root_path=root, **given)  # type: ignore[arg-type]  # click has checked them
        context = open_context(settings)
    except InvalidInput as error:
        raise click.ClickException(error.message) from error

    class Server(uvicorn.Server):
        """Tells those who wait that the process ends, or their connections would hold it; and those who ask, or a request
        could be on its way while their connection is closed."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            context.closing.set()
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket] | None = None) -> None:
            self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
            end = time.monotonic() + settings.drain_seconds
            # uvicorn tells nobody of a connection that closes.
            while self.server_state.connections and time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await super().shutdown(sockets)

    # Forwarded headers are the resolver's business: uvicorn would believe the leftmost address.
    config = uvicorn.Config(
        create_app(context),
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        log_config=None,
        log_level=uvicorn_level(log_level),
        access_log=access_log,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        ws_ping_interval=20,
        ws_max_size=64 * 1024,
    )
    config.load()
    # What is there now stays to the end. Looking through it each time would stop every request for 20 ms.
    gc.collect()
    gc.freeze()
    # Requests leave few circles behind: looking for them after every 700 new objects costs a share of each for nothing.
    gc.set_threshold(20_000, 20, 20)
    Server(config).run()


if __name__ == "__main__":
    main()

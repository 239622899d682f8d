"""`modelpool keys`: issue API keys, look at them, take them back. Speaks to the admin API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

C = TypeVar("C", bound=Callable[..., Any])
Shown = dict[str, Any]

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def keys() -> None:
    """Issue API keys, see what they use, rotate and revoke them.

    The admin token comes from --admin-token, or from the state folder of the `modelpool up` on this machine.

    \b
    modelpool keys create studio --plan paid
    modelpool keys list
    modelpool keys usage 5f1e0c9a7be2
    """


def _connected(command: C) -> C:
    """Add the options that say where and with which token, and --json."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--state", type=FOLDER, default=".modelpool", help="State folder of `modelpool up`."),
        click.option("--admin-token", envvar="MODELPOOL_ADMIN_TOKEN", help="Opens the admin API."),
        click.option(
            "--url",
            envvar="MODELPOOL_URL",
            default="http://127.0.0.1:8080",
            show_default=True,
            help="Where the API is.",
        ),
    ):
        command = option(command)
    return command


def _call(method: str, path: str, url: str, admin_token: str | None, state: Path, body: Shown | None = None) -> Shown:
    from modelpool_cli.api import Api
    from modelpool_local.state import admin_token_of

    with Api(url, (admin_token or admin_token_of(state)).strip()) as api:
        return api.admin(method, f"keys{path}", body)


@keys.command()
@click.argument("name")
@click.option("--plan", default="paid", show_default=True, help="One of the admission document's plans.")
@_connected
def create(name: str, plan: str, as_json: bool, **where: Any) -> None:
    """Issue a key. It is shown once.

    \b
    modelpool keys create studio --plan paid
    """
    _show_new(_call("POST", "", body={"name": name, "plan": plan}, **where), as_json)


@keys.command("list")
@_connected
def list_keys(as_json: bool, **where: Any) -> None:
    """Show the issued keys.

    \b
    modelpool keys list
    """
    found = _call("GET", "", **where)["data"]
    if as_json:
        _print_json(found)
    for key in [] if as_json else found:
        print(f"{key['id']}  {key['plan']:<12} {key['createdAt'][:10]}  {key['name']}")


@keys.command()
@click.argument("id")
@click.option("--grace", type=click.IntRange(0), default=86_400, show_default=True, help="Seconds for the old secret.")
@_connected
def rotate(id: str, grace: int, as_json: bool, **where: Any) -> None:
    """Give a key a new secret. The old one works for a while longer.

    \b
    modelpool keys rotate 5f1e0c9a7be2 --grace 3600
    """
    _show_new(_call("POST", f"/{quote(id, safe='')}/rotate", body={"graceSeconds": grace}, **where), as_json)


@keys.command()
@click.argument("id")
@_connected
def revoke(id: str, as_json: bool, **where: Any) -> None:
    """Take a key back, at once. An account's id works too.

    \b
    modelpool keys revoke 5f1e0c9a7be2
    """
    _call("DELETE", f"/{quote(id, safe='')}", **where)
    if as_json:
        _print_json({"id": id, "revoked": True})
    else:
        print(f"{id} revoked")


@keys.command()
@click.argument("id")
@_connected
def usage(id: str, as_json: bool, **where: Any) -> None:
    """Show what a key has used.

    \b
    modelpool keys usage 5f1e0c9a7be2
    """
    found = _call("GET", f"/{quote(id, safe='')}/usage", **where)
    if as_json:
        _print_json(found)
        return
    print(f"{found['used']} of {found['limit']} units today, plan {found['plan']}")
    for day, units in found["days"].items():
        print(f"{day}  {units}")


def _show_new(key: Shown, as_json: bool) -> None:
    if as_json:
        _print_json(key)
    else:
        print(f"{key['id']}  plan {key['plan']}; the key is shown only now:\n{key['key']}")


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))

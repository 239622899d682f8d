"""`modelpool`: the commands, their options and their help. What they do is imported when they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelpool_cli.abuse import abuse
from modelpool_cli.keys import keys
from modelpool_cli.queue.commands import queue
from modelpool_local.exits import EXIT_MEANINGS, CommandFailed

if TYPE_CHECKING:
    from rich.console import Console

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
TASKS = ("TextToImage", "ImageToImage", "ImageToVideo", "TextToVideo")

_url = click.option(
    "--url", envvar="MODELPOOL_URL", default="http://127.0.0.1:8080", show_default=True, help="Where the API is."
)
_key = click.option("--key", envvar="MODELPOOL_KEY", help="API key; without one you are anonymous.")


class _Program(click.Group):
    """Adds the exit codes to the help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in EXIT_MEANINGS.items()])


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def modelpool() -> None:
    """A GPU model service for diffusion models: one pool of GPUs, many models, the right one loaded.

    \b
    modelpool up -f examples/studio.yaml
    modelpool submit "a red circle on the left on a blue background" --model shapes-flat --out circle.png
    """


@modelpool.command()
@click.option("-f", "--file", "pool_file", type=FILE, required=True, help="The pool, a ModelPool in YAML.")
@click.option("--models", type=FOLDER, default="models", show_default=True, help="What /models of the pool means here.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the API.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port of the API.")
@click.option("--redis-url", envvar="MODELPOOL_REDIS_URL", help="Use this Redis or Valkey instead of an embedded one.")
@click.option(
    "--store", help="Results go there: a folder, s3://bucket/prefix, http://host.  [default: in the state folder]"
)
@click.option("--state", type=FOLDER, default=".modelpool", show_default=True, help="Redis' data, results and logs.")
@click.option("--api-keys", type=FILE, help="YAML with keys: [{name, key, lane}].")
@click.option(
    "--admission",
    envvar="MODELPOOL_ADMISSION",
    help="Who may take how much: local, public, or a YAML file.  [default: the pool's modelpool.dev/admission, or local]",
)
@click.option("--table/--plain", default=True, help="A live table on a terminal, or plain lines.")
@click.option("--grace", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to finish on Ctrl-C.")
@click.option(
    "--simulated",
    is_flag=False,
    flag_value="",
    metavar="[TIMINGS]",
    help="Pretend to compute, without model files; such as load=0.5,step=0.05.",
)
def up(**options: Any) -> None:
    """Run a whole pool on this machine: Redis, operator, API and a worker for each slot, until Ctrl-C.

    \b
    modelpool up -f examples/studio.yaml
    modelpool up -f pool.yaml --models /srv/models --port 9000 --redis-url redis://redis.local:6379/0

    What crashes is started again. The first Ctrl-C lets running jobs finish, a second one ends at once; queued jobs
    are still there at the next start.
    """
    from modelpool_local.options import UpOptions
    from modelpool_local.up import run_up

    sys.exit(run_up(UpOptions(**options)))


@modelpool.command()
@click.argument("prompt", default="")
@click.option("-m", "--model", required=True, help="A model's name, or pool/model.")
@click.option("-o", "--out", type=FILE, help="File to write; its ending says the format.  [default: MODEL-SEED.png]")
@click.option("--image", type=FILE, help="Input image, for models that want one.")
@click.option("--image-job", metavar="ID", help="Instead, the picture that this job made.")
@click.option("--task", type=click.Choice(TASKS), help="Only for models with several.")
@click.option("--negative-prompt", help="What should not be in the picture.")
@click.option("--width", type=int)
@click.option("--height", type=int)
@click.option("--steps", type=int)
@click.option("--guidance", type=float, help="How closely to follow the prompt.")
@click.option("--frames", type=int, help="Of a video.")
@click.option("--seed", help="A number for the same picture again, or random.")
@click.option("--style", help="One of the model's styles.")
@click.option("--format", type=click.Choice(["png", "webp", "jpeg", "mp4"]), help="[default: from the name of --out]")
@click.option("--fresh", is_flag=True, help="Make it anew even if the same was made before.")
@_url
@_key
@click.option("--json", "as_json", is_flag=True, help="Print the job as JSON.")
@click.option("--no-wait", is_flag=True, help="Only send; print the job's id.")
def submit(url: str, key: str | None, as_json: bool, no_wait: bool, **options: Any) -> None:
    """Make a picture or a video: send the job, watch it, save the file.

    \b
    modelpool submit "a red circle on the left on a blue background" -m shapes-flat -o circle.png
    modelpool submit -m shapes-motion --image circle.png -o circle.mp4
    modelpool submit "a green star" -m shapes-neon --seed 7 --steps 20 --json
    """
    from modelpool_cli.api import Api
    from modelpool_cli.submit import SubmitOptions
    from modelpool_cli.submit import submit as run

    with Api(url, key) as api:
        run(api, SubmitOptions(**options), _console(), wait=not no_wait, as_json=as_json)


@modelpool.command()
@_url
@_key
@click.option("--json", "as_json", is_flag=True, help="Print what the API says as JSON.")
def models(url: str, key: str | None, as_json: bool) -> None:
    """Show the models on offer: where they are loaded, what waits, and when a job would be done.

    \b
    modelpool models
    modelpool models --json | jq -r '.[].id'
    """
    from modelpool_cli.api import Api
    from modelpool_cli.shown import print_models

    with Api(url, key) as api:
        found = api.models()
    if as_json:
        _print_json(found)
    else:
        print_models(found, _console())


@modelpool.command()
@click.option("--redis-url", envvar="MODELPOOL_REDIS_URL", help="The pool's Redis.  [default: that of --state]")
@click.option("--state", type=FOLDER, default=".modelpool", show_default=True, help="State folder of `modelpool up`.")
def status(redis_url: str | None, state: Path) -> None:
    """Show slots and models as `modelpool up` does, from another terminal.

    \b
    modelpool status
    modelpool status --redis-url redis://redis.local:6379/0
    """
    from modelpool_cli.shown import print_status
    from modelpool_local.state import redis_url_of

    print_status(redis_url or redis_url_of(state), _console())


@modelpool.command()
@click.option("-f", "--file", "pool_file", type=FILE, help="The pool, a ModelPool in YAML.")
@click.option("--redis-url", envvar="MODELPOOL_REDIS_URL", help="The pool's Redis.  [default: that of --state]")
@click.option("--state", type=FOLDER, help="State folder of `modelpool up`.  [default: .modelpool, if one runs there]")
@click.option("--context", help="Of --kubeconfig: the pool is a ModelPool of that cluster, or -f is compared with it.")
@click.option("--kubeconfig", envvar="KUBECONFIG", help="[default: ~/.kube/config]")
@click.option("-n", "--namespace", help="The pool's namespace.  [default: that of -f, or all of the cluster's]")
@click.option("--pool", help="Which one of the cluster's: its name, or namespace/name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(as_json: bool, **options: Any) -> None:
    """Show what the planner would do now, and why. Changes nothing.

    \b
    modelpool plan -f examples/studio.yaml
    modelpool plan -f pool.yaml --redis-url redis://redis.local:6379/0 --json | jq '.held'
    modelpool plan --context gpu-cluster -n studio --redis-url redis://127.0.0.1:6379/0

    It looks as an operator does that has just started: what the slots hold and were told to hold, what waits, what was
    asked for. The file may differ from the one in force. Without any Redis it plans a cold start.
    """
    from modelpool_cli.plan import PlanOptions, run_plan

    run_plan(PlanOptions(**options), as_json)


@modelpool.command()
@click.argument("job")
@_url
@_key
def cancel(job: str, url: str, key: str | None) -> None:
    """Cancel a job that has not ended.

    \b
    modelpool cancel "$(modelpool submit 'a star' -m shapes-neon --no-wait | cut -d' ' -f1)"
    """
    from modelpool_cli.api import Api

    with Api(url, key) as api:
        print(f"{job} {api.cancel(job)['state']}")


@modelpool.command()
@click.option("--out", type=FOLDER, default="out", show_default=True, help="Pictures, video and contact sheet.")
@click.option("-f", "--file", "pool_file", type=FILE, default="examples/studio.yaml", show_default=True)
@click.option("--models", type=FOLDER, default="models", show_default=True, help="Where the model folders are.")
def demo(out: Path, pool_file: Path, models: Path) -> None:
    """Show all of it once: start the pool, make pictures with every model and a video, check them, stop.

    \b
    modelpool demo --out out
    """
    from modelpool_cli.demo.run import run_demo

    sys.exit(run_demo(out, pool_file, models, _console()))


@modelpool.command()
def version() -> None:
    """Print the version."""
    import modelpool as core

    print(f"modelpool {core.__version__}")


modelpool.add_command(abuse)
modelpool.add_command(keys)
modelpool.add_command(queue)


def main() -> None:
    """Entry point of the script: one line on stderr for whatever a command cannot do."""
    try:
        modelpool(prog_name="modelpool")
    except CommandFailed as error:
        print(f"modelpool: {error.message}", file=sys.stderr)
        sys.exit(error.code)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, ensure_ascii=False, indent=2))

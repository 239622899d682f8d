"""`python -m cluster`: a real Kubernetes cluster on this machine, for tests and for people."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from cluster import dependencies
from cluster.build import build_programs, find_programs
from cluster.cluster import Cluster
from cluster.errors import ClusterError
from cluster.kubectl import holds
from cluster.layout import Layout, default_cache, default_state
from cluster.leftovers import leftovers
from cluster.progress import timed_report

P = ParamSpec("P")


def _errors_as_sentences(command: Callable[P, None]) -> Callable[P, None]:
    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ClusterError as error:
            click.echo(f"cluster: {error}", err=True)
            sys.exit(1)

    return guarded


@click.group(
    epilog="""\b
Examples:
  python -m cluster deps        install what is missing, build the programs (10 minutes once)
  python -m cluster up          start the cluster, or say that it is up
  eval "$(python -m cluster up)" && kubectl get nodes
  python -m cluster gpus 2      give the second node two GPUs
  python -m cluster down        end it and leave nothing behind
"""
)
@click.option(
    "--state", type=click.Path(path_type=Path), help="Folder of the running cluster. [default: user's state folder]"
)
@click.option(
    "--cache", type=click.Path(path_type=Path), help="Folder of the built programs. [default: user's cache folder]"
)
@click.pass_context
def main(context: click.Context, state: Path | None, cache: Path | None) -> None:
    """A real Kubernetes cluster on this machine: control plane, two nodes, seven GPUs that a device plugin pretends."""
    context.obj = Layout((state or default_state()).resolve(), (cache or default_cache()).resolve())


@main.command()
@click.pass_obj
@_errors_as_sentences
def deps(layout: Layout) -> None:
    """Install Debian's packages and Go where they are missing, and build the programs."""
    report = timed_report()
    dependencies.install(layout, report)
    programs = build_programs(layout.cache, report)
    report(f"all {len(programs.paths)} programs are built")


@main.command()
@click.pass_obj
@_errors_as_sentences
def up(layout: Layout) -> None:
    """Start the cluster; prints the shell lines that point kubectl and helm at it."""
    cluster = Cluster.up(layout, timed_report())
    folders = dict.fromkeys(str(cluster.programs[name].parent) for name in ("kubectl", "helm", "ctr"))
    click.echo(f"export KUBECONFIG={layout.kubeconfig}")
    click.echo(f"export PATH={':'.join(folders)}:$PATH")


@main.command()
@click.pass_obj
@_errors_as_sentences
def down(layout: Layout) -> None:
    """End the cluster, or what a failed start left of it."""
    Cluster.down(layout, timed_report())


@main.command()
@click.pass_obj
@_errors_as_sentences
def status(layout: Layout) -> None:
    """Say what is there; exit status 1 when the cluster is not up."""
    try:
        cluster = Cluster.attach(layout)
    except ClusterError:
        click.echo("not up" if find_programs(layout.cache) else "not up, and its programs are not built", err=True)
        for line in leftovers(layout):
            click.echo(f"left behind: {line}", err=True)
        sys.exit(1)
    for node in cluster.kubectl.list("nodes"):
        name = node["metadata"]["name"]
        click.echo(f"{name}: {'Ready' if holds(node, 'Ready') else 'not Ready'}, {cluster.nodes[name].gpus()} GPUs")
    click.echo(f"export KUBECONFIG={layout.kubeconfig}")


@main.command()
@click.argument("count", type=click.IntRange(0, 64))
@click.pass_obj
@_errors_as_sentences
def gpus(layout: Layout, count: int) -> None:
    """Give the second node COUNT GPUs."""
    node = Cluster.attach(layout).nodes["node-2"]
    node.stop_gpus()
    if count:
        node.start_gpus(count)
    node.wait_for_gpus(count)
    click.echo(f"{node.name} offers {count} GPUs")


if __name__ == "__main__":
    main(prog_name="python -m cluster")

"""Options of the command ``kubernetes``, apart from it: ``--help`` need not load a client of Kubernetes."""

from __future__ import annotations

import argparse

import modelpool
from modelpool_operator.options import add_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_option(
        parser,
        "--redis-url",
        "MODELPOOL_REDIS_URL",
        required=True,
        metavar="URL",
        help="such as redis://redis:6379/0; workers get it through a Secret",
    )
    add_option(
        parser,
        "--store-url",
        "MODELPOOL_STORE_URL",
        required=True,
        metavar="URL",
        help="where workers put results, such as http://store:8080/ or s3://bucket/prefix",
    )
    add_option(
        parser,
        "--namespaces",
        "MODELPOOL_NAMESPACES",
        metavar="NAMES",
        default="",
        help="whose pools to keep, separated by commas; none: those of the whole cluster",
    )
    add_option(
        parser,
        "--worker-image",
        "MODELPOOL_WORKER_IMAGE",
        metavar="IMAGE",
        default=f"modelpool/worker:{modelpool.__version__}",
        help="for pools whose spec.worker.image is unset (default: %(default)s)",
    )
    add_option(
        parser,
        "--prometheus-url",
        "MODELPOOL_PROMETHEUS_URL",
        metavar="URL",
        default="",
        help="where demand is read, such as http://prometheus:9090; none: from the queue's own counters",
    )
    add_option(
        parser,
        "--listen-host",
        "MODELPOOL_LISTEN_HOST",
        metavar="HOST",
        default="127.0.0.1",
        help="where to listen (default: %(default)s)",
    )
    add_option(
        parser,
        "--listen-port",
        "MODELPOOL_LISTEN_PORT",
        metavar="PORT",
        type=int,
        default=8081,
        help="of /healthz, /readyz and /metrics (default: %(default)s)",
    )
    add_option(parser, "--kubeconfig", "KUBECONFIG", metavar="FILE", help="outside of a cluster: how to reach it")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig, instead of its current one")

"""The long-running processes: each verb becomes `python -m …`, by exec, not by import."""

import os
import sys
from typing import Annotated, NoReturn

from cyclopts import Parameter

from starter.cli.context import Ctx
from starter.cli.flags import SWITCH, Whole


def dev(
    *,
    live: Annotated[
        bool, SWITCH, Parameter(help="Use the real provider, with WAVESPEED_API_KEY: costs money")
    ] = False,
    no_workers: Annotated[bool, SWITCH, Parameter(help="All but the worker")] = False,
    no_api: Annotated[bool, SWITCH, Parameter(help="All but the API and its page")] = False,
    ctx: Ctx,
) -> NoReturn:
    """Run the whole stack here: servers, a sandbox provider, a worker, the HTTP API, its page.

    The servers are PostgreSQL, and Temporal with its Web UI. The page: stillmotion open

    For example: stillmotion dev --data-dir .stillmotion
    """
    options = ["--live"] * live + ["--no-workers"] * no_workers + ["--no-api"] * no_api
    if ctx.output.mode in {"json", "jsonl"}:
        options.append("--json")
    _become("workers", "dev", *options, data_dir=str(ctx.data_dir))


def worker(
    *,
    queues: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, negative=(), help="Task queues to serve [default: all]"),
    ] = None,
    ctx: Ctx,
) -> NoReturn:
    """Run a worker, for the stack of the data directory or of the environment.

    For example: stillmotion worker --queues stillmotion stillmotion-submit
    """
    chosen = ["--queues", *queues] if queues else []
    _become("workers", "worker", *chosen, data_dir=str(ctx.data_dir))


def sandbox(
    *,
    port: Annotated[Whole, Parameter(help="Where it listens on this machine; 0 takes a free one")],
    work_s: Annotated[float, Parameter(help="Seconds that a job takes at least")] = 2.0,
    host: Annotated[str, Parameter(help="The address to listen on")] = "127.0.0.1",
    ctx: Ctx,
) -> NoReturn:
    """Run the sandbox provider alone: the provider's API, videos that cost nothing.

    For example: stillmotion sandbox --port 8788 --work-s 0.5
    """
    options = [f"--port={port}", f"--work-s={work_s:g}", f"--host={host}"]
    _become("workers.sandbox", *options, data_dir=str(ctx.data_dir / "sandbox"))


def api(
    *,
    host: Annotated[str, Parameter(help="The address to listen on")] = "127.0.0.1",
    port: Annotated[
        Whole, Parameter(help="Where it listens on that address; 0 takes a free one")
    ] = 8780,
    ctx: Ctx,
) -> NoReturn:
    """Serve the HTTP API, its page, and the way in for webhooks (STILLMOTION_PUBLIC_URL).

    For example: stillmotion api --port 8780
    """
    options = [f"--host={host}", f"--port={port}"]
    if ctx.output.mode in {"json", "jsonl"}:
        options.append("--json")
    _become("starter.api", *options, data_dir=str(ctx.data_dir))


def codec_server(
    *,
    host: Annotated[str, Parameter(help="The address to listen on")] = "127.0.0.1",
    port: Annotated[
        Whole, Parameter(help="Where it listens on that address; 0 takes a free one")
    ] = 8081,
    ctx: Ctx,
) -> NoReturn:
    """Decrypt payloads for Temporal's Web UI and CLI (STILLMOTION_PAYLOAD_KEYS).

    For example: stillmotion codec-server --port 8081
    """
    options = [f"--host={host}", f"--port={port}"]
    if ctx.output.mode in {"json", "jsonl"}:
        options.append("--json")
    _become("workers", "codec-server", *options, data_dir=str(ctx.data_dir))


def migrate(*, ctx: Ctx) -> NoReturn:
    """Bring the database up to date.

    For example: stillmotion migrate
    """
    _become("workers", "migrate", data_dir=str(ctx.data_dir))


def _become(module: str, *arguments: str, data_dir: str) -> NoReturn:
    """Replace this process: signals, exit code and output are then the other's own."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", module, *arguments, "--data-dir", data_dir]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted

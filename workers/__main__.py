"""`python -m workers …`: every long-running process but the API. `stillmotion` execs this."""

import argparse
import asyncio
import json
import os
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from activities.database.migrations import MigrationChanged, migrate
from activities.database.pool import UNREACHABLE, DatabaseUnreachable, connect
from activities.database.settings import DatabaseSettings
from activities.ledger.catalogues import CatalogueInvalid
from activities.provider.errors import KeyRefused
from workers.codec_server import CODEC_PORT
from workers.stack import environment_of
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stack import StackAddress, read_stack, sign_in_link

NOT_REACHABLE = 3
DATA_DIR = Path(".stillmotion")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, and say in one line why it could not."""
    given = _parser().parse_args(argv)
    try:
        return _PROCESSES[given.process](given)
    except (DatabaseUnreachable, RuntimeError, KeyRefused, *UNREACHABLE) as error:
        return _say(f"{error}")
    except (CatalogueInvalid, MigrationChanged) as error:
        return _say(f"{error}", code=2)
    except ValueError as error:
        # Settings from the environment: the line names the variable, never a secret's value.
        return _say(_first_problem(error), code=2)
    except KeyboardInterrupt:
        return 130


def _dev(given: argparse.Namespace) -> int:
    # Slow to import, and not there in a production install.
    from workers.dev import Options, serve  # noqa: PLC0415
    from workers.embedded.errors import EmbeddedError  # noqa: PLC0415
    from workers.telemetry import configure_logging  # noqa: PLC0415

    # To stderr: what goes to stdout is the ready line.
    configure_logging("console")

    def announce(address: StackAddress) -> None:
        ready = address.model_dump_json() if given.json else _ready(address, given.data_dir)
        sys.stdout.write(f"{ready}\n")
        sys.stdout.flush()
        _hint(address, given)

    options = Options(
        data_dir=given.data_dir,
        live=given.live,
        workers=not given.no_workers,
        api=not given.no_api,
        sandbox_work_s=given.sandbox_work_s,
    )
    try:
        asyncio.run(serve(options, announce))
    except EmbeddedError as error:
        return _say(f"{error}")
    return 0


def _ready(address: StackAddress, data_dir: Path) -> str:
    """For people. The page's link signs in by itself, so only a terminal's owner is shown it."""
    money = "REAL MONEY" if address.live else "sandbox, costs nothing"
    page = f"page {address.api} (`{_command(data_dir, 'open')}`)" if address.api else "no page"
    told = (
        f"Ready. Provider {address.provider} ({money}), LLM {address.llm or 'none'},"
        f" Web UI {address.temporal_ui}, Temporal {address.temporal}, {page}"
    )
    link = sign_in_link(address) if sys.stdout.isatty() else None
    return f"{told}\nThe page, signed in: {link}" if link is not None else told


def _hint(address: StackAddress, given: argparse.Namespace) -> None:
    """What is left for a person to do, on stderr."""
    from workers.api_process import missing_libraries  # noqa: PLC0415

    if not given.no_api and (missing := missing_libraries()):
        needs = " and ".join(missing)
        _say(f"No API and no page: they need {needs}, of an extra: pip install 'stillmotion[api]'")
    if address.payload_keys_file is not None:
        codec = _command(given.data_dir, "codec-server")
        _say(f"Payloads are encrypted. The Web UI shows them while this runs too: {codec}")


def _command(data_dir: Path, *words: str) -> str:
    where = ("--data-dir", str(data_dir)) if data_dir != DATA_DIR else ()
    return shlex.join(("stillmotion", *words, *where))


def _worker(given: argparse.Namespace) -> int:
    from workers.wiring import Settings  # noqa: PLC0415
    from workers.working import work  # noqa: PLC0415

    _adopt_stack(given.data_dir)
    queues = [TaskQueue(name) for name in given.queues] or list(TaskQueue)
    asyncio.run(work(Settings(), queues))
    return 0


def _migrate(given: argparse.Namespace) -> int:
    _adopt_stack(given.data_dir)

    async def run() -> None:
        async with connect(DatabaseSettings()) as pool, pool.acquire() as connection:  # pyright: ignore[reportCallIssue]
            for migration in await migrate(connection):
                sys.stdout.write(f"applied {migration.name}\n")
            sys.stdout.write("The database is up to date.\n")

    asyncio.run(run())
    return 0


def _codec_server(given: argparse.Namespace) -> int:
    # Not there without the extra.
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        needs = " and ".join(missing)
        return _say(
            f"The codec server needs {needs}, of an extra: pip install 'stillmotion[api]'", code=2
        )
    from workers.codec_server.serving import serve  # noqa: PLC0415

    # A `dev` has its own keys; elsewhere they are the environment's, and no database is needed.
    keys = ("STILLMOTION_PAYLOAD_KEYS", "STILLMOTION_PAYLOAD_KEYS_FILE")
    stack = None if any(name in os.environ for name in keys) else read_stack(given.data_dir)
    if stack is not None:
        os.environ.update(environment_of(stack))

    def announce(address: str) -> None:
        line = json.dumps({"codec_server": address}) if given.json else f"Ready. Codec {address}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    asyncio.run(serve(given.host, given.port, stack.temporal_ui if stack else None, announce))
    return 0


def _adopt_stack(data_dir: Path) -> None:
    """Without settings of its own, a process belongs to the `dev` of its data directory."""
    if "STILLMOTION_DATABASE_URL" in os.environ:
        return
    stack = read_stack(data_dir)
    if stack is None:
        raise DatabaseUnreachable(
            f"No `stillmotion dev` runs in {data_dir}, and STILLMOTION_DATABASE_URL is not set."
        )
    os.environ.update(environment_of(stack))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    processes = parser.add_subparsers(dest="process", required=True)
    dev = processes.add_parser("dev", help="the whole stack in one process tree")
    dev.add_argument("--live", action="store_true", help="use the real provider: costs money")
    dev.add_argument("--no-workers", action="store_true", help="everything but the worker")
    dev.add_argument("--no-api", action="store_true", help="everything but the API and its page")
    dev.add_argument("--json", action="store_true", help="print the ready line as JSON")
    dev.add_argument(
        "--sandbox-work-s", type=float, default=2.0, help="how long a sandbox job takes"
    )
    worker = processes.add_parser("worker", help="serve task queues")
    worker.add_argument("--queues", nargs="*", default=[], choices=[q.value for q in TaskQueue])
    migrations = processes.add_parser("migrate", help="bring the database up to date")
    codec = processes.add_parser("codec-server", help="decrypt payloads for Web UI and CLI")
    codec.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    codec.add_argument("--port", type=int, default=CODEC_PORT, help="0 takes a free one")
    codec.add_argument("--json", action="store_true", help="print the ready line as JSON")
    for process in (dev, worker, migrations, codec):
        process.add_argument("--data-dir", type=Path, default=DATA_DIR)
    return parser


_PROCESSES = {
    "dev": _dev,
    "worker": _worker,
    "migrate": _migrate,
    "codec-server": _codec_server,
}


def _first_problem(error: ValueError) -> str:
    from pydantic import ValidationError  # noqa: PLC0415

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _say(message: str, code: int = NOT_REACHABLE) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's client sometimes aborts while the interpreter ends (sdk-python issue 300).
    os._exit(code)

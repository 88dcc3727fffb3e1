"""`python -m starter.api`: the HTTP API as a process, which `stillmotion api` becomes."""

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from activities.tracing.spans import API, start_tracing, tracing
from starter.cli.refusals import USAGE, explain
from starter.places import DATA_DIR, find_place

PORT = 8780
NEEDED = ("fastapi", "jinja2", "python_multipart", "uvicorn")
PORT_MAX = 65_535


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; say in a line why it could not."""
    given = _parser().parse_args(argv)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        needs = " and ".join(missing)
        return _say(f"The API needs {needs}, of its extra: pip install 'stillmotion[api]'")
    # Not there without the extra.
    from starter.api.logs import configure_logging  # noqa: PLC0415
    from starter.api.serving import CannotListen  # noqa: PLC0415

    configure_logging()
    try:
        asyncio.run(_serve(given))
    except CannotListen as error:
        return _say(f"{error}")
    except Exception as error:  # noqa: BLE001 - told in a line, as by every verb
        complaint = explain(error, lambda *words: _command(given.data_dir, *words))
        return _say(f"{complaint.message} {complaint.hint}".strip(), complaint.exit_code)
    return 0


async def _serve(given: argparse.Namespace) -> None:
    # Not there without the extra.
    from starter.api.app import create_app  # noqa: PLC0415
    from starter.api.parts import connected  # noqa: PLC0415
    from starter.api.serving import listener_at, served  # noqa: PLC0415

    start_tracing(API)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with listener_at(given.host, given.port) as listener:
        async with (
            connected(find_place(given.data_dir)) as parts,
            served(create_app(parts), listener) as origin,
        ):
            sys.stdout.write(_ready(origin, as_json=given.json))
            sys.stdout.flush()
            await stop.wait()


def _ready(origin: str, *, as_json: bool) -> str:
    return (json.dumps({"api": origin}) if as_json else f"Ready. API {origin}") + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stillmotion api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=_port, default=PORT, help="0 takes a free one")
    parser.add_argument("--json", action="store_true", help="print the ready line as JSON")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR)
    return parser


def _port(text: str) -> int:
    if not (text.isdecimal() and len(text) <= len(str(PORT_MAX)) and int(text) <= PORT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r}: not a port; allowed: 0 to {PORT_MAX}")
    return int(text)


def _command(data_dir: Path, *words: str) -> str:
    where = ("--data-dir", str(data_dir)) if data_dir != DATA_DIR else ()
    return shlex.join(("stillmotion", *words, *where))


def _say(message: str, code: int = USAGE) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    code = main()
    tracing().flush()
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's client sometimes aborts while the interpreter ends (sdk-python issue 300).
    os._exit(code)

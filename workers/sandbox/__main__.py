"""`python -m workers.sandbox`: the sandbox provider as a process."""

import argparse
import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from workers.sandbox.sandbox import SandboxBusy
from workers.sandbox.serving import running
from workers.sandbox.settings import SandboxSettings

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; prints one JSON line with the base URLs when it listens."""
    given = _parser().parse_args(argv)
    if given.die_with_parent is not None:
        _die_with_parent(given.die_with_parent)
    settings = SandboxSettings(
        data_dir=given.data_dir,
        work_s=given.work_s,
        api_key=SecretStr(given.api_key) if given.api_key else None,
    )
    try:
        asyncio.run(_serve(settings, given.host, given.port))
    except (OSError, SandboxBusy) as error:
        sys.stderr.write(f"the sandbox could not start: {error}\n")
        return 1
    return 0


async def _serve(settings: SandboxSettings, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(settings, host=host, port=port) as addresses:
        sys.stdout.write(json.dumps(addresses.document()) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data-dir", type=Path, required=True, help="kept across restarts")
    parser.add_argument("--work-s", type=float, default=2.0, help="seconds a job takes at least")
    parser.add_argument("--api-key", help="the one key let in (default: any but `refused`)")
    parser.add_argument(
        "--die-with-parent",
        type=int,
        nargs="?",
        const=0,
        metavar="PID",
        help="stop when the starting process ends (Linux); with its id also if it is gone already",
    )
    return parser


def _die_with_parent(expected: int) -> None:
    """Asks the kernel for SIGTERM at the parent's death; `expected` is its id, 0 if not known."""
    parent = expected or os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # A parent that died before the call sends no signal any more.
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())

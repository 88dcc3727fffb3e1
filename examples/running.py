"""What the examples share, and what a product has already: options, a connection, a place to print.

The scripts beside it show the calls.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from activities.generations.repository import UnknownGeneration
from starter import GenerationFailed, NotFinished, VideoClient
from starter.places import NotReachable
from workflows.contracts.failures import RequestRefused
from workflows.contracts.results import Generation
from workflows.contracts.texts import dollars

Example = Callable[[VideoClient, argparse.Namespace], Awaitable[None]]

REFUSED, NOT_REACHABLE, NOT_FINISHED = 2, 3, 6
"""The exit codes that `stillmotion` has for it too."""


def options(described: str | None) -> argparse.ArgumentParser:
    """The options of every example: which stack, and who asks."""
    parser = argparse.ArgumentParser(
        description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, default=Path(".stillmotion"))
    parser.add_argument("--user", default="local", help="whose quota it takes [local]")
    return parser


def run(parser: argparse.ArgumentParser, example: Example) -> NoReturn:
    """Run an example against a running `stillmotion dev`, and end the process."""
    code = asyncio.run(_ran(parser.parse_args(), example))
    # Temporal's client sometimes aborts while the interpreter ends; all is done by then.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def tell(client: VideoClient, video: Generation) -> None:
    """Print what there is now: the file, its cost, the tags by which the library finds it."""
    assert video.asset_id is not None, "a finished video is in the library"
    asset = await client.asset(video.asset_id, user_id=video.user_id)
    print(asset.title)
    print("  file", asset.file_path or asset.url)
    print("  cost", dollars(video.cost_usd_micros or 0))
    print("  tags", *asset.tags)
    print("  prompt by", video.prompt_by or "nobody: none was sent")


async def _ran(given: argparse.Namespace, example: Example) -> int:
    """The exit code of an example."""
    try:
        async with await VideoClient.connect(given.data_dir) as client:
            await example(client, given)
    except (RequestRefused, UnknownGeneration) as error:
        return _complained(error, REFUSED)
    except NotReachable as error:
        return _complained(error, NOT_REACHABLE)
    except GenerationFailed as error:
        return _complained(error, error.exit_code)
    except NotFinished as error:
        return _complained(error, NOT_FINISHED)
    return 0


def _complained(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code

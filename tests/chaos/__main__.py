"""`python -m tests.chaos`: processes are killed and frozen under load, then everything is counted.

    make chaos [SEED=n] [GENERATIONS=100] [BREAK=sending|lock|send_by|tombstone|settlement]

First the directed episodes, since luck must not decide about the moments that money hangs on, then
the storm. With BREAK a guard is taken out of the workers: the run must end with a breach.

What a seed fixes: the orders of the clients, the dice of the provider's faults, the acts with their
order, their marks in the run's progress and whom they hit. It does not fix how the kernel turns
the processes: a breach may need several runs of its seed.
"""

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.disk import NoSmallDisk, SmallDisk, mount_small_disk
from tests.chaos.guards import Guard
from tests.chaos.runs import ONLY, Run, run

MEDIA_DISK_BYTES = 192 * 1024 * 1024
"""Several times what 300 generations of tiny videos, their posters and inputs take."""
BROKEN = 1
BEGAN = time.monotonic()


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 where every promise was kept."""
    # The pool of our own client complains whenever its server was killed, which is what we do here.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    given = _parser().parse_args(argv)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    with _folder(keep=given.keep) as folder, _disk(folder / "disk") as disk:
        wanted = Run(
            seed=seed,
            generations=given.generations,
            guard=given.without,
            only=given.only,
            times=given.times,
            disk=disk,
        )
        breaches = asyncio.run(run(folder, wanted, _say))
    return BROKEN if breaches else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{time.monotonic() - BEGAN:5.0f} s  {line}\n")
    sys.stdout.flush()


@contextmanager
def _folder(*, keep: bool) -> Generator[Path]:
    """A short path: PostgreSQL's socket is below it."""
    folder = Path(tempfile.mkdtemp(prefix="sm-chaos-"))
    if keep:
        _say(f"data in {folder}")
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


@contextmanager
def _disk(folder: Path) -> Generator[SmallDisk | None]:
    try:
        disk = mount_small_disk(folder, MEDIA_DISK_BYTES)
    except NoSmallDisk as error:
        _say(f"no small disk here ({error}): the media disk will not be full")
        yield None
        return
    try:
        yield disk
    finally:
        disk.unmount()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, help="drawn and printed unless given")
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--without", type=Guard, choices=list(Guard), help="take one guard out")
    parser.add_argument("--only", choices=sorted(ONLY), help="one part of a run")
    parser.add_argument("--times", type=int, help="how often, of *-after-post: so many workers")
    parser.add_argument("--keep", action="store_true", help="leave the data directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())

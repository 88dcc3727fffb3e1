"""A worker that lacks one guard, or freezes once between SENDING and the first byte of its POST.

    python -m tests.chaos.broken_worker [--guard NAME] [--freeze FLAG] [--queues NAME …]

The clock of the send window is asked twice per submission: when the window opens, and as the last
act before the bytes go out. At that second time the process stops itself, after it has removed
FLAG; when it goes on, its clock has moved on with the rest of the world (`MOVED_ON_S`), as after a
suspension of the machine.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from activities.provider.submissions import running_and_suspended_s
from tests.chaos.guards import Guard, take_out
from workers import wiring, working
from workflows.contracts.queues import TaskQueue

MOVED_ON_S = 30.0
"""Beyond every send window."""


class FreezingClock:
    """Stops the process once, when FLAG is there and it is asked for the second time."""

    def __init__(self, flag: Path, clock: Callable[[], float]) -> None:
        self._flag = flag
        self._clock = clock
        self._asked = 0

    def __call__(self) -> float:
        self._asked += 1
        if self._asked == 2 and self._flag.exists():
            self._flag.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        return self._clock() + (MOVED_ON_S if self._asked >= 2 else 0)


def standing_still_s() -> float:
    """A clock that shows the same for ever."""
    return 0.0


async def main(given: argparse.Namespace) -> None:
    guard = Guard(given.guard) if given.guard else None
    settings = wiring.Settings()
    await take_out(guard, settings.database.database_url.get_secret_value())
    clock: Callable[[], float] = running_and_suspended_s
    if given.freeze:
        clock = FreezingClock(given.freeze, clock)
    if guard is Guard.SEND_BY:
        clock = _without_moving(clock)
    setattr(working, "wire", partial(wiring.wire, clock=clock))  # noqa: B010 - the normal worker
    queues = [TaskQueue(name) for name in given.queues] or list(TaskQueue)
    await working.work(settings, queues)


def _without_moving(clock: Callable[[], float]) -> Callable[[], float]:
    """Ask the clock, since it may freeze us, and believe that no time has passed."""

    def asked() -> float:
        clock()
        return standing_still_s()

    return asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.broken_worker")
    parser.add_argument("--guard", choices=list(Guard), default=None)
    parser.add_argument("--freeze", type=Path, metavar="FLAG")
    parser.add_argument("--queues", nargs="+", default=[])
    return parser


if __name__ == "__main__":
    asyncio.run(main(_parser().parse_args()))

"""`python -m benchmarks`: take the measures, print a table with goals and verdicts, plot them."""

import argparse
import asyncio
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure, Scale, tell
from benchmarks.machine import this_machine
from benchmarks.report import Report, Unmeasured


class Measure(NamedTuple):
    """What a module of this folder measures."""

    what: str
    goals: int
    """As many of its figures have one: they are missed where it falls over."""


MEASURES = {
    "floor": Measure("full generations against the same workflow with empty activities", 1),
    "peers": Measure("the same steps on DBOS Transact, and as plain asyncio", 3),
    "waiting": Measure("thousands of generations in flight on one worker", 4),
    "media": Measure("download, hash and store against a plain stream; decoding", 3),
    "cost": Measure("events and billable actions of a five-minute job", 3),
    "growth": Measure("list, search and reserve with 10 and with 10,000 generations", 6),
    "recovery": Measure("from a worker's SIGKILL to the next poll", 2),
}
"""They run in this order."""

NOT_YET = "not taken yet"

Keep = Callable[[Report], None]
"""Takes what is known so far."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 1 where a measure could not be taken."""
    given = _parser().parse_args(argv)
    scale = Scale(share=given.scale, repeats=given.repeats)
    # Stopped from outside, a measure ends as by Ctrl-C: what it started is stopped and removed. In
    # the background a shell has Ctrl-C ignored.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)

    def keep(report: Report) -> None:
        if given.json:
            _write(given.json, report.model_dump_json(indent=2) + "\n")
        if given.table:
            _write(given.table, f"{report.table()}\n\n{report.summary}\n")

    report = take(given.only, scale, keep)
    sys.stdout.write(f"{report.table()}\n\n{report.ending}\n")
    sys.stdout.flush()
    if given.plot:
        # Slow to import, and needed here only.
        from benchmarks.plot import plot  # noqa: PLC0415

        given.plot.parent.mkdir(parents=True, exist_ok=True)
        plot(report, given.plot)
    return 1 if report.unmeasured else 0


def take(names: Sequence[str], scale: Scale, keep: Keep) -> Report:
    """Take the measures in turn; `keep` is given the report before the first and after each.

    One that fails is told in the report, and the others go on. What was not begun yet stands there
    as not measured, so that a run that is killed never looks like a whole one.
    """
    figures: list[Figure] = []
    lost = {name: _lost(name, [], NOT_YET) for name in names}
    began, machine = datetime.now(UTC), this_machine()

    def report() -> Report:
        return Report(
            measured_at=began,
            machine=machine,
            scale=scale,
            figures=tuple(figures),
            unmeasured=tuple(lost.values()),
        )

    keep(report())
    for name in names:
        tell(f"{name}: {MEASURES[name].what}")
        try:
            taken = asyncio.run(_measure(name, scale))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - shown, and missed
            traceback.print_exc()
            lost[name] = _lost(name, [], _reason(error))
        else:
            figures += taken
            del lost[name]
            if (seen := _goals(taken)) != MEASURES[name].goals:
                lost[name] = _lost(name, taken, f"{seen} of {MEASURES[name].goals} goals came")
        keep(report())
    return report()


def _goals(figures: Sequence[Figure]) -> int:
    return sum(figure.goal is not None for figure in figures)


def _lost(name: str, taken: Sequence[Figure], why: str) -> Unmeasured:
    left = MEASURES[name].goals - _goals(taken)
    return Unmeasured(measure=name, goals=max(0, left), why=why)


def _reason(error: BaseException) -> str:
    """Its first line; of several errors that one task group met, the first one's."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    said = str(error).split("\n", maxsplit=1)[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


async def _measure(name: str, scale: Scale) -> list[Figure]:
    module = importlib.import_module(f"benchmarks.{name}")
    figures: list[Figure] = await module.measure(scale)
    return figures


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}; the measures are {', '.join(MEASURES)}")
    return list(dict.fromkeys(names))


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text}: above 0, 1 at most")
    return share


def _times(text: str) -> int:
    times = int(text)
    if times < 1:
        raise argparse.ArgumentTypeError(f"{text}: 1 or more")
    return times


def _write(path: Path, text: str) -> None:
    """The whole text or, where this is killed, what stood there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(text, "utf-8")
    aside.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", type=_names, default=list(MEASURES), metavar="NAMES", help=", ".join(MEASURES)
    )
    parser.add_argument("--repeats", type=_times, help="samples, instead of each measure's number")
    parser.add_argument(
        "--scale", type=_share, default=1.0, help="share of the full size; below 1 no goal is met"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the report with raw samples")
    parser.add_argument("--table", type=Path, metavar="FILE", help="what is printed, as Markdown")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="an image: .svg or .png")
    return parser


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's client sometimes aborts while the interpreter ends (sdk-python issue 300).
    os._exit(code)

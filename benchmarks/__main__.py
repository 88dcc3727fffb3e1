"""`python -m benchmarks`: take the measures, print a table with goals and verdicts, plot them."""

import argparse
import asyncio
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, Scale, tell
from benchmarks.machine import this_machine
from benchmarks.report import Report, Unmeasured

MEASURES = {
    "floor": "full generations against the same workflow with empty activities",
    "peers": "the same steps on DBOS Transact, and as plain asyncio",
    "waiting": "thousands of generations in flight on one worker",
    "media": "download, hash and store against a plain stream; decoding",
    "cost": "events and billable actions of a five-minute job",
    "growth": "list, search and reserve with 10 and with 10,000 generations",
    "recovery": "from a worker's SIGKILL to the next poll",
}
"""Each is a module of this folder; they run in this order."""

Measure = Callable[[Scale], Awaitable[list[Figure]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 1 where a measure could not be taken."""
    given = _parser().parse_args(argv)
    scale = Scale(share=given.scale, repeats=given.repeats)
    # Stopped from outside, a measure ends as by Ctrl-C: what it started is stopped and removed.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    report = take(given.only, scale)
    if given.json:
        _write(given.json, report.model_dump_json(indent=2) + "\n")
    if given.plot:
        # Slow to import, and needed here only.
        from benchmarks.plot import plot  # noqa: PLC0415

        given.plot.parent.mkdir(parents=True, exist_ok=True)
        plot(report, given.plot)
    if given.table:
        _write(given.table, f"{report.table()}\n\n{report.summary}\n")
    sys.stdout.write(f"{report.table()}\n\n{report.summary}\n")
    return 1 if report.unmeasured else 0


def take(names: Sequence[str], scale: Scale) -> Report:
    """Take the measures in turn. One that fails is told in the report; the others go on."""
    began = datetime.now(UTC)
    figures: list[Figure] = []
    unmeasured: list[Unmeasured] = []
    for name in names:
        tell(f"{name}: {MEASURES[name]}")
        try:
            figures += asyncio.run(_measure(name, scale))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown, and counted as missed
            traceback.print_exc()
            why = f"{type(error).__name__}: {error}".split("\n", maxsplit=1)[0]
            unmeasured.append(Unmeasured(measure=name, why=why))
    return Report(
        measured_at=began,
        machine=this_machine(),
        scale=scale,
        figures=tuple(figures),
        unmeasured=tuple(unmeasured),
    )


async def _measure(name: str, scale: Scale) -> list[Figure]:
    module = importlib.import_module(f"benchmarks.{name}")
    measure: Measure = module.measure
    return await measure(scale)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}; the measures are {', '.join(MEASURES)}")
    return names


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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


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

"""Numbers as shapes: where the bars of the usage page stand, in the units of its drawings. Pure."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from activities.ledger.daily import DaySpend
from workflows.contracts.texts import dollars

WIDTH, HEIGHT = 720, 220
LEFT, TOP, BOTTOM = 64, 8, 28
_LINES = 2
"""Above the ground: the end of the axis, and its middle."""
_GAP = 0.3
"""Of a day's width."""
_MARK_EVERY = 7
_STEPS = (1, 2, 5)


class Bar(NamedTuple):
    """One day's."""

    day: date
    usd_micros: int
    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """A line across, and what it stands for."""

    y: float
    usd_micros: int


class Mark(NamedTuple):
    """A day that is named below its bar."""

    x: float
    day: date


class Plot(NamedTuple):
    """A bar for each day of a span."""

    bars: list[Bar]
    lines: list[Line]
    marks: list[Mark]
    total_usd_micros: int
    told: str
    """The same in a sentence."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


class Taken(NamedTuple):
    """How much of a limit is taken."""

    limited: bool
    settled_percent: float
    reserved_percent: float


class Named(NamedTuple):
    """What one model or product has of the whole; the percent is of the largest."""

    name: str
    videos: int
    usd_micros: int
    percent: float


def plot_of(spent: Sequence[DaySpend], last: date, days: int) -> Plot:
    """The bars of the `days` days up to `last`."""
    by_day: defaultdict[date, int] = defaultdict(int)
    for row in spent:
        by_day[row.day] += row.settled_usd_micros
    span = [last - timedelta(days=back) for back in reversed(range(days))]
    top_usd_micros = top_of(max((by_day[day] for day in span), default=0))
    room, broad = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT) / days
    bars: list[Bar] = []
    for number, day in enumerate(span):
        height = round(room * by_day[day] / top_usd_micros, 2)
        x = round(LEFT + broad * (number + _GAP / 2), 2)
        y = round(TOP + room - height, 2)
        bars.append(Bar(day, by_day[day], x, y, round(broad * (1 - _GAP), 2), height))
    steps = [top_usd_micros * step // _LINES for step in range(_LINES + 1)]
    lines = [Line(round(TOP + room * (1 - step / top_usd_micros), 2), step) for step in steps]
    marks = [
        Mark(round(bar.x + bar.width / 2, 2), bar.day)
        for bar in bars[_MARK_EVERY // 2 :: _MARK_EVERY]
    ]
    total = sum(bar.usd_micros for bar in bars)
    return Plot(bars, lines, marks, total, _told(bars, total))


def top_of(usd_micros: int) -> int:
    """The end of an axis for it: 1, 2 or 5 times a power of ten, ten cents at least."""
    power = 100_000
    while True:
        for step in _STEPS:
            if step * power >= usd_micros:
                return step * power
        power *= 10


def taken_of(limit: int | None, settled: int, reserved: int) -> Taken:
    """The shares of a limit; None is unlimited, of which there are no shares."""
    if limit is None:
        return Taken(limited=False, settled_percent=0, reserved_percent=0)
    # A plan that was made smaller may be taken beyond its end.
    whole = max(limit, settled + reserved, 1)
    return Taken(
        limited=True,
        settled_percent=settled / whole * 100,
        reserved_percent=reserved / whole * 100,
    )


def shares_of(spent: Sequence[DaySpend], name_of: Callable[[DaySpend], str]) -> list[Named]:
    """What each has of the whole, the dearest first."""
    videos: defaultdict[str, int] = defaultdict(int)
    cost: defaultdict[str, int] = defaultdict(int)
    for row in spent:
        videos[name_of(row)] += row.videos_settled
        cost[name_of(row)] += row.settled_usd_micros
    largest = max([*cost.values(), 1])
    return [
        Named(name, videos[name], cost[name], max(0.0, cost[name] / largest * 100))
        for name in sorted(cost, key=lambda name: (-cost[name], name))
    ]


def _told(bars: Sequence[Bar], total_usd_micros: int) -> str:
    if not total_usd_micros:
        return "nothing was spent."
    most = max(bars, key=lambda bar: bar.usd_micros)
    days = sum(1 for bar in bars if bar.usd_micros)
    on = "on one day" if days == 1 else f"on {days} days"
    return (
        f"{dollars(total_usd_micros)} {on}, most on {most.day.day} {most.day:%B}"
        f" with {dollars(most.usd_micros)}."
    )

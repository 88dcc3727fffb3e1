"""Whether 10,000 generations are read as fast as 10, and where a table is read whole.

A user with many and users with few stand in one database, beside others. Each act is done for the
one and the other in turn, so that whatever slows the machine slows both. What is compared is the
95th percentile.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg
from pydantic import SecretStr

from activities.database.migrations import migrate
from activities.database.pool import connect
from activities.database.settings import DatabaseSettings
from benchmarks.figures import Figure, Scale, at_most, tell
from benchmarks.growth_acts import Act, Acts, acts_on
from benchmarks.growth_plans import log_plans, whole_reads
from benchmarks.growth_rows import create_database, fill, open_accounts
from workers.embedded.locking import DataDirectory
from workers.embedded.postgres import EmbeddedPostgres

LARGE = 10_000
SMALL = 10
SMALL_USERS = 200
"""Many, so that the generations that are reserved here leave each of them a small one."""
OTHERS, OTHERS_MADE = 200, 100
CALLS = 200
"""Behind each percentile, for each of the two."""
WARM_UPS = 5
"""After five calls PostgreSQL may settle for one plan for all values."""
TIMES = 5
GOAL = at_most(1.5)

_WHAT = {
    "list": "p95 of a list or one generation, the slowest of all filters",
    "search": "p95 of a search by words or tag, pages of any size, the slowest",
    "pages": "p95 of a page of 100 or of all that a filter leaves, the slowest",
    "reserve": "p95 of the whole reserve step",
    "usage": "p95 of what a user may still spend",
    "shares": "p95 of a month's usage by model and source",
}
_NOTES = {
    "shares": "It adds up the entries of the present month, of which the large user has hundreds:"
    " it grows with the month, not with the years.",
}
_WITHOUT_GOAL = {"shares"}


class Few(NamedTuple):
    """Users with few generations, whom the large one is compared with."""

    named: str
    people: int
    made: int

    @property
    def ids(self) -> list[str]:
        """Their user ids."""
        return [f"{self.named}-{number}" for number in range(self.people)]


_SMALL = Few("small", SMALL_USERS, SMALL)
_OTHERS = Few("other", OTHERS, OTHERS_MADE)
_FEW = {"pages": _OTHERS}
"""With whom a group is compared where a small user has too few to fill a page."""


class Timed(NamedTuple):
    """One act, measured in each round: the large user's percentile over the small ones'."""

    name: str
    ratios: Sequence[float]
    small_ms: float
    large_ms: float

    @property
    def sentence(self) -> str:
        """For the figure's notes."""
        ratio = statistics.median(self.ratios)
        return f"{self.name}: {self.small_ms:.1f} and {self.large_ms:.1f} ms, {ratio:.2f}"


async def measure(scale: Scale) -> list[Figure]:
    """The ratios by group of acts, then the tables that were read whole."""
    users = {user: few.made for few in (_SMALL, _OTHERS) for user in few.ids}
    users["large"] = scale.of(LARGE, least=100)
    with tempfile.TemporaryDirectory(prefix="stillmotion-bench-") as name:
        folder = Path(name)
        async with (
            DataDirectory(folder / "data") as directory,
            EmbeddedPostgres(directory) as server,
        ):
            dsn = await _filled(server.dsn, users, folder)
            async with acts_on(dsn, folder) as acts:
                figures = [
                    await _figure(group, each, scale, users["large"])
                    for group, each in acts.by_group().items()
                ]
            await log_plans(dsn)
            async with acts_on(dsn, folder) as acts:
                log = directory.log_path("postgres")
                return [*figures, await _scans(acts, log)]


async def _filled(server_dsn: str, users: Mapping[str, int], folder: Path) -> str:
    """A database with all of their generations; its URL."""
    dsn = await create_database(server_dsn)
    connection = await asyncpg.connect(dsn)
    await migrate(connection)
    await connection.close()
    async with (
        connect(DatabaseSettings(database_url=SecretStr(dsn))) as pool,
        pool.acquire() as filling,
    ):
        await open_accounts(filling, users)
        async with acts_on(dsn, folder) as acts:
            sample_id = await acts.reserve("other-0")
        await fill(filling, users, sample_id)
    tell(f"growth: {sum(users.values()):,} generations of {len(users):,} users")
    return dsn


async def _figure(group: str, acts: Mapping[str, Act], scale: Scale, made: int) -> Figure:
    """The slowest act of a group speaks for it."""
    few = _FEW.get(group, _SMALL)
    timed = [await _timed(name, act, few, scale.times(TIMES)) for name, act in acts.items()]
    slowest = max(timed, key=lambda each: statistics.median(each.ratios))
    tell(f"growth: {group}: {slowest.sentence}")
    return Figure(
        key=f"growth.{group}",
        what=f"{_WHAT[group]}: {made:,} generations / {few.made}",
        samples=tuple(slowest.ratios),
        goal=None if group in _WITHOUT_GOAL else GOAL,
        notes=(
            *(_NOTES[name] for name in (group,) if name in _NOTES),
            "; ".join(each.sentence for each in timed) + ".",
        ),
    )


async def _timed(name: str, act: Act, few: Few, times: int) -> Timed:
    users = itertools.cycle(few.ids)
    rounds = [await _round(act, users) for _ in range(times)]
    return Timed(
        name,
        [large_ms / small_ms for small_ms, large_ms in rounds],
        statistics.median(small_ms for small_ms, _ in rounds),
        statistics.median(large_ms for _, large_ms in rounds),
    )


async def _round(act: Act, users: Iterator[str]) -> tuple[float, float]:
    """The 95th percentiles in milliseconds: of small users, of the large one."""
    small, large = list[float](), list[float]()
    for _ in range(WARM_UPS + CALLS):
        small.append(await _took_ms(act(next(users))))
        large.append(await _took_ms(act("large")))
    return _p95(small[WARM_UPS:]), _p95(large[WARM_UPS:])


async def _took_ms(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return (time.perf_counter() - started) * 1000


def _p95(samples_ms: Sequence[float]) -> float:
    return statistics.quantiles(samples_ms, n=20)[-1]


async def _scans(acts: Acts, log: Path) -> Figure:
    """Each act a dozen times for both kinds of user, by the plans that PostgreSQL then used."""
    found = list[str]()
    plans = 0
    for group, each in acts.by_group().items():
        for name, act in each.items():
            seen = await whole_reads(log, act, (_FEW.get(group, _SMALL).ids[0], "large"))
            plans += seen.plans
            found += [f"{group}, {name}: {table}" for table in seen.tables]
    return Figure(
        key="growth.scans",
        what="growing tables that any of the statements reads whole",
        samples=(float(len(found)),),
        goal=at_most(0),
        notes=(f"{plans:,} plans as they were executed.", *found),
    )

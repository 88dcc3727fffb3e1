"""Carries the moves of `serial_books` out in a real database, and reads what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from activities.database.pool import Connection, Pool
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.settings import LedgerSettings
from activities.ledger.usage import assign_plan
from tests.activities.ledger.clocks import set_clock
from tests.activities.ledger.serial_books import (
    DONE,
    GENERATIONS,
    MONTH_OF,
    USERS,
    Assign,
    Balance,
    Books,
    Correct,
    Edit,
    Held,
    Hold,
    Limits,
    Move,
    Outcome,
    Release,
    Settle,
    Spent,
)
from workflows.contracts.failures import RequestRefused

_ANCHOR = datetime(2100, 1, 1, tzinfo=UTC)

_PLANS = """
SELECT videos_limit, cost_limit_usd_micros FROM plans WHERE plan = ANY ($1) ORDER BY plan
"""

_BOOKED = """
SELECT account, sum(settled_usd_micros)::bigint AS usd_micros FROM ledger
WHERE generation_id = $1 GROUP BY account
"""

_SUBSCRIPTIONS = "SELECT user_id, plan FROM subscriptions WHERE user_id = ANY ($1)"

_BALANCES = """
SELECT user_id, lower(period)::date, videos_reserved, videos_settled,
       reserved_usd_micros, settled_usd_micros
FROM balances WHERE user_id = ANY ($1)
"""

_HOLDS = """
SELECT r.generation_id, r.state, r.quoted_usd_micros, r.spent_on,
       coalesce(sum(l.settled_usd_micros) FILTER (WHERE account = 'user'), 0)::bigint,
       coalesce(sum(l.settled_usd_micros) FILTER (WHERE account = 'house'), 0)::bigint,
       coalesce(bool_or(l.provisional), false)
FROM reservations r LEFT JOIN ledger l USING (generation_id)
WHERE r.generation_id = ANY ($1) GROUP BY r.generation_id
"""


def days_of(example: int) -> list[datetime]:
    """The days of an example, as in `MONTH_OF`; no two examples share a month."""
    year, month = divmod(example * 2, 12)
    first = _ANCHOR.replace(year=_ANCHOR.year + year, month=month + 1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    return [next_month - timedelta(microseconds=1), next_month, next_month + timedelta(days=1)]


@dataclass(frozen=True)
class Clerk:
    """One example's users, plans and generations in a database whose clock is ours."""

    pool: Pool
    name: str
    days: Sequence[datetime]

    async def open(self, books: Books) -> None:
        """Make the plans and users of `books`; no balance is open yet."""
        await set_clock(self.pool, self.days[0])
        await self.pool.executemany(
            "INSERT INTO plans (plan, title, videos_limit, cost_limit_usd_micros)"
            " VALUES ($1, $1, $2, $3)",
            [(self._plan(number), *limits) for number, limits in enumerate(books.plans)],
        )
        await self.pool.executemany(
            "INSERT INTO subscriptions (user_id, plan, anchored_at) VALUES ($1, $2, $3)",
            [(self.user(one), self._plan(plan), _ANCHOR) for one, plan in enumerate(books.on)],
        )
        await self.pool.executemany(
            "INSERT INTO generations (generation_id, user_id, idempotency_key, request_hash,"
            " request, operation, source, stage) VALUES ($1, $2, $1, '', '{}', '', '', 'accepted')",
            [(self._id(number), self.user(number % USERS)) for number in range(GENERATIONS)],
        )

    async def make(self, move: Move, *, locks: bool) -> Outcome:
        """One move in a transaction of its own; a refusal is an outcome like any other.

        With `locks` it locks its generations first, as everybody does who moves one.
        """
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                for number in _generations_of(move) if locks else ():
                    await generations.lock(connection, self._id(number))
                return await self._carry_out(connection, move)
        except RequestRefused as refused:
            return refused.failure.kind.value

    async def _carry_out(self, connection: Connection, move: Move) -> Outcome:
        match move:
            case Hold():
                await self._hold(connection, move)
                return "held"
            case Settle():
                return await self._settle(connection, move)
            case Release():
                generation_id = self._id(move.generation)
                return await money.release(connection, generation_id, house_usd_micros=move.house)
            case Assign():
                await assign_plan(connection, self.user(move.user), self._plan(move.plan))
                return DONE
            case Edit():
                edited = (self._plan(move.plan), *move.limits)
                await connection.execute(
                    "UPDATE plans SET videos_limit = $2, cost_limit_usd_micros = $3"
                    " WHERE plan = $1",
                    *edited,
                )
                return DONE
            case Correct():
                return await self._correct(connection, move)

    async def _hold(self, connection: Connection, move: Hold) -> None:
        process = LedgerSettings(
            default_plan="none",
            spend_limit_usd_day=_usd(move.caps.day),
            spend_limit_usd_month=_usd(move.caps.month),
        )
        for number in move.generations:
            user = self.user(number % USERS)
            await money.hold(connection, self._id(number), user, move.usd_micros, process)

    async def _settle(self, connection: Connection, move: Settle) -> Outcome:
        held = await money.reservation_of(connection, self._id(move.generation))
        if held is None:
            return "nothing"
        booked = min(move.usd_micros, held.quoted_usd_micros)
        return await money.settle(
            connection, held.generation_id, booked, provisional=move.provisional
        )

    async def _correct(self, connection: Connection, move: Correct) -> Outcome:
        held = await money.reservation_of(connection, self._id(move.generation))
        if held is None or held.state == "reserved":
            return 0
        rows = await connection.fetch(_BOOKED, held.generation_id)
        booked = {row["account"]: row["usd_micros"] for row in rows}
        user = min(move.usd_micros, held.quoted_usd_micros) if held.state == "settled" else 0
        by_user, by_house = user - booked.get("user", 0), move.house - booked.get("house", 0)
        await money.correct(connection, held, user_usd_micros=by_user, house_usd_micros=by_house)
        return by_user + by_house

    async def read(self, day: int) -> Books:
        """The books as they stand on that day."""
        names = [self._plan(number) for number in range(USERS)]
        users = [self.user(number) for number in range(USERS)]
        limits = await self.pool.fetch(_PLANS, names)
        on = {row["user_id"]: row["plan"] for row in await self.pool.fetch(_SUBSCRIPTIONS, users)}
        return Books(
            day=day,
            plans=tuple(Limits(*row) for row in limits),
            on=tuple(names.index(on[user]) for user in users),
            balances=await self._balances(users),
            holds=await self._holds(),
            days=await self._spent("day", [at.date() for at in self.days]),
            months=await self._spent("month", self._months()),
        )

    async def _balances(self, users: Sequence[str]) -> tuple[tuple[Balance, ...], ...]:
        rows = await self.pool.fetch(_BALANCES, users)
        found = {(row[0], row[1]): Balance(*row[2:]) for row in rows}
        return tuple(
            tuple(found.get((user, month), Balance()) for month in self._months()) for user in users
        )

    async def _holds(self) -> tuple[Held | None, ...]:
        dates = [at.date() for at in self.days]
        rows = await self.pool.fetch(_HOLDS, [self._id(number) for number in range(GENERATIONS)])
        found = {row[0]: Held(row[1], row[2], dates.index(row[3]), *row[4:]) for row in rows}
        return tuple(found.get(self._id(number)) for number in range(GENERATIONS))

    async def _spent(self, span: str, starts: Sequence[date]) -> tuple[Spent, ...]:
        rows = await self.pool.fetch(
            "SELECT starts_on, reserved_usd_micros, settled_usd_micros FROM spending"
            " WHERE span = $1 AND starts_on = ANY ($2)",
            span,
            starts,
        )
        spent = {row[0]: Spent(*row[1:]) for row in rows}
        return tuple(spent.get(start, Spent()) for start in starts)

    def _months(self) -> list[date]:
        firsts = [MONTH_OF.index(month) for month in sorted(set(MONTH_OF))]
        return [self.days[day].date().replace(day=1) for day in firsts]

    def user(self, number: int) -> str:
        """A user's id."""
        return f"{self.name}-user{number}"

    def _id(self, generation: int) -> str:
        return f"{self.name}-{generation}"

    def _plan(self, number: int) -> str:
        return f"{self.name}_{number}"


def _generations_of(move: Move) -> tuple[int, ...]:
    match move:
        case Hold():
            return move.generations
        case Settle() | Release() | Correct():
            return (move.generation,)
        case Assign() | Edit():
            return ()


def _usd(usd_micros: int | None) -> Decimal | None:
    return None if usd_micros is None else Decimal(usd_micros).scaleb(-6)

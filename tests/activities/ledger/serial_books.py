"""The ledger as it would be if everybody came one after the other: pure, and small.

`serial_order` looks for an order of moves that were made at once in which each of them would have
had the outcome that it had, and the books would be as they are.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

_Value = TypeVar("_Value")

USERS = 2
GENERATIONS = 16
"""Generation `n` is of user `n % USERS`."""

MONTH_OF = (0, 1, 1)
"""The month of each day that an example lives through: the first day is a month's last."""


class Limits(NamedTuple):
    """Of a plan; None = unlimited."""

    videos: int | None
    usd_micros: int | None


class Caps(NamedTuple):
    """Of a process, for the deployment; None = unlimited."""

    day: int | None
    month: int | None


class Held(NamedTuple):
    """A reservation."""

    state: str
    quoted: int
    day: int
    booked: int = 0
    house: int = 0
    provisional: bool = False


class Balance(NamedTuple):
    """Of a user in a month."""

    videos_reserved: int = 0
    videos_settled: int = 0
    reserved: int = 0
    settled: int = 0


class Spent(NamedTuple):
    """Of the deployment in a day or month."""

    reserved: int = 0
    settled: int = 0


class Books(NamedTuple):
    """Everything that the moves of an example read and write."""

    day: int
    plans: tuple[Limits, ...]
    on: tuple[int, ...]
    """Each user's plan."""
    balances: tuple[tuple[Balance, ...], ...]
    """By user and month."""
    holds: tuple[Held | None, ...]
    """By generation."""
    days: tuple[Spent, ...]
    months: tuple[Spent, ...]


class Hold(NamedTuple):
    """One hold, or all of a batch, by a process with these caps."""

    generations: tuple[int, ...]
    usd_micros: int
    caps: Caps


class Settle(NamedTuple):
    """Book at most the quote."""

    generation: int
    usd_micros: int
    provisional: bool


class Release(NamedTuple):
    """Give the hold back; the house books the loss."""

    generation: int
    house: int


class Assign(NamedTuple):
    """Put a user on a plan."""

    user: int
    plan: int


class Edit(NamedTuple):
    """Change what a plan allows."""

    plan: int
    limits: Limits


class Correct(NamedTuple):
    """Let user and house be booked so much for what has ended, by the difference."""

    generation: int
    usd_micros: int
    house: int


Move = Hold | Settle | Release | Assign | Edit | Correct
Outcome = str | int
"""What was held or refused, or how much was booked, given back or corrected."""

DONE = "done"


def opened(plans: tuple[Limits, ...]) -> Books:
    """The books of an example before anything was moved; each user is on the plan of its number."""
    days = tuple(Spent() for _ in MONTH_OF)
    months = tuple(Spent() for _ in set(MONTH_OF))
    balances = tuple(tuple(Balance() for _ in months) for _ in range(USERS))
    return Books(0, plans, tuple(range(USERS)), balances, (None,) * GENERATIONS, days, months)


def serial_order(
    before: Books,
    moves: Sequence[Move],
    outcomes: Sequence[Outcome],
    after: Books,
    later_than: Mapping[int, frozenset[int]] | None = None,
) -> list[int] | None:
    """Indices of `moves` in an order that explains everything; None where there is none.

    `later_than` says which moves were over before one of them could begin to take anything.
    """
    earlier = later_than or {}
    hopeless: set[tuple[Books, frozenset[int]]] = set()

    def search(books: Books, left: frozenset[int]) -> list[int] | None:
        if not left:
            return [] if books == after else None
        if (books, left) in hopeless:
            return None
        for index in left:
            if left & earlier.get(index, frozenset()):
                continue
            moved, outcome = made(books, moves[index])
            rest = search(moved, left - {index}) if outcome == outcomes[index] else None
            if rest is not None:
                return [index, *rest]
        hopeless.add((books, left))
        return None

    return search(before, frozenset(range(len(moves))))


def made(books: Books, move: Move) -> tuple[Books, Outcome]:
    """The books after a move that has them for itself, and its outcome."""
    match move:
        case Hold():
            return _hold(books, move)
        case Settle():
            return _settle(books, move)
        case Release():
            return _release(books, move)
        case Assign():
            return books._replace(on=_with(books.on, move.user, move.plan)), DONE
        case Edit():
            return books._replace(plans=_with(books.plans, move.plan, move.limits)), DONE
        case Correct():
            return _correct(books, move)


def _hold(books: Books, move: Hold) -> tuple[Books, Outcome]:
    """All or nothing."""
    held = books
    for generation in move.generations:
        known = held.holds[generation]
        if known is not None and known.state != "reserved":
            return books, "already_closed"
        if known is None:
            refusal = _refusal(held, generation % USERS, move)
            if refusal is not None:
                return books, refusal
            held = _keep(held, generation, Held("reserved", move.usd_micros, books.day))
            held = _move(held, generation, Balance(1, 0, move.usd_micros, 0))
    return held, "held"


def _refusal(books: Books, user: int, move: Hold) -> str | None:
    limits = books.plans[books.on[user]]
    balance = books.balances[user][MONTH_OF[books.day]]
    videos = balance.videos_reserved + balance.videos_settled + 1
    usd_micros = balance.reserved + balance.settled + move.usd_micros
    if _passes(videos, limits.videos) or _passes(usd_micros, limits.usd_micros):
        return "quota_exceeded"
    today, month = books.days[books.day], books.months[MONTH_OF[books.day]]
    if _passes(sum(today) + move.usd_micros, move.caps.day):
        return "spend_limit_reached"
    return "spend_limit_reached" if _passes(sum(month) + move.usd_micros, move.caps.month) else None


def _passes(taken: int, limit: int | None) -> bool:
    return limit is not None and taken > limit


def _settle(books: Books, move: Settle) -> tuple[Books, Outcome]:
    held = books.holds[move.generation]
    if held is None:
        return books, "nothing"
    if held.state != "reserved":
        return books, held.booked
    booked = min(move.usd_micros, held.quoted)
    ended = held._replace(state="settled", booked=booked, provisional=move.provisional)
    moved = _move(
        _keep(books, move.generation, ended), move.generation, Balance(-1, 1, -held.quoted, booked)
    )
    return moved, booked


def _release(books: Books, move: Release) -> tuple[Books, Outcome]:
    held = books.holds[move.generation]
    if held is None:
        return _keep(books, move.generation, Held("released", 0, books.day)), 0
    if held.state != "reserved":
        return books, 0
    ended = held._replace(state="released", house=move.house)
    released = _keep(books, move.generation, ended)
    moved = _move(released, move.generation, Balance(-1, 0, -held.quoted, 0))
    return _spend(moved, held.day, 0, move.house), held.quoted


def _correct(books: Books, move: Correct) -> tuple[Books, Outcome]:
    held = books.holds[move.generation]
    if held is None or held.state == "reserved":
        return books, 0
    user = min(move.usd_micros, held.quoted) if held.state == "settled" else 0
    by_user, by_house = user - held.booked, move.house - held.house
    moved = _keep(books, move.generation, held._replace(booked=user, house=move.house))
    if by_user:
        moved = _move(moved, move.generation, Balance(settled=by_user))
    return _spend(moved, held.day, 0, by_house), by_user + by_house


def _keep(books: Books, generation: int, held: Held) -> Books:
    return books._replace(holds=_with(books.holds, generation, held))


def _move(books: Books, generation: int, by: Balance) -> Books:
    """In the month and the day of the hold, whatever day it is."""
    held = books.holds[generation]
    assert held is not None
    user, month = generation % USERS, MONTH_OF[held.day]
    balance = Balance(*map(sum, zip(books.balances[user][month], by, strict=True)))
    months = _with(books.balances[user], month, balance)
    moved = books._replace(balances=_with(books.balances, user, months))
    return _spend(moved, held.day, by.reserved, by.settled)


def _spend(books: Books, day: int, reserved: int, settled: int) -> Books:
    def more(spent: Spent) -> Spent:
        return Spent(spent.reserved + reserved, spent.settled + settled)

    month = MONTH_OF[day]
    return books._replace(
        days=_with(books.days, day, more(books.days[day])),
        months=_with(books.months, month, more(books.months[month])),
    )


def _with(values: tuple[_Value, ...], index: int, value: _Value) -> tuple[_Value, ...]:
    return (*values[:index], value, *values[index + 1 :])

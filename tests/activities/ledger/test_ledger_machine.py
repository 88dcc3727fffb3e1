"""Whatever is asked at once ends as if it had been asked one after the other, within every limit.

A state machine fires 2 to 8 moves at once over as many connections, and looks for an order of them
that explains each outcome and all balances. 40 examples; a thousand with STILLMOTION_EVIDENCE=1.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from activities.database.pool import Pool, connect
from activities.ledger import repository as money
from tests.activities.conftest import settings_for_database
from tests.activities.ledger.clerks import Clerk, days_of
from tests.activities.ledger.clocks import set_clock, set_up_clock
from tests.activities.ledger.serial_books import (
    DONE,
    GENERATIONS,
    MONTH_OF,
    USERS,
    Assign,
    Books,
    Caps,
    Correct,
    Edit,
    Hold,
    Limits,
    Move,
    Outcome,
    Release,
    Settle,
    made,
    opened,
    serial_order,
)

EXAMPLES = 1_000 if os.environ.get("STILLMOTION_EVIDENCE") == "1" else 40
CONNECTIONS = 10
COMES_TO_THE_LOCK_S = 0.01

SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=6,
    deadline=None,
    # What depends on who comes first can't be made smaller by trying again.
    phases=[Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

FREE = Caps(None, None)

# Few users, plans and prices near the limits, so that most moves meet each other.
TARGET = st.integers(0, 99)
"""A place in the list of what a move can be aimed at."""
USD_MICROS = st.sampled_from([0, 300, 400, 500])
CAPS = st.builds(Caps, st.sampled_from([None, 900, 1_300]), st.sampled_from([None, None, 1_700]))
LIMITS = st.builds(
    Limits, st.sampled_from([None, None, 0, 1, 3, 5]), st.sampled_from([None, None, 900, 1_450])
)
HOLD = st.builds(Hold, st.tuples(TARGET), USD_MICROS, CAPS)
BATCH = st.builds(Hold, st.tuples(TARGET, TARGET, TARGET), USD_MICROS, CAPS)
EDIT = st.builds(Edit, st.integers(0, 1), LIMITS)
ASSIGN = st.builds(Assign, st.integers(0, USERS - 1), st.integers(0, 1))


END = st.one_of(
    st.builds(Settle, TARGET, st.sampled_from([0, 200, 500]), st.booleans()),
    st.builds(Release, TARGET, st.sampled_from([0, 0, 400])),
    st.builds(Correct, TARGET, st.sampled_from([0, 100, 300]), st.sampled_from([0, 50])),
)


def aimed(books: Books, move: Move) -> Move:
    """The same move at a generation that it can move, most of the time; a batch at one user's."""
    everyone = range(GENERATIONS)
    match move:
        case Hold():
            new = [one for one in everyone if books.holds[one] is None] * 2
            likely = [*new, *everyone]
            if len(move.generations) > 1:
                user = move.generations[0] % USERS
                likely = [one for one in likely if one % USERS == user]
            places = {likely[target % len(likely)] for target in move.generations}
            return move._replace(generations=tuple(sorted(places)))
        case Settle() | Release() | Correct():
            known = [one for one in everyone if books.holds[one] is not None] * 6
            likely = [*known, *everyone]
            return move._replace(generation=likely[move.generation % len(likely)])
        case Assign() | Edit():
            return move


def is_of(user: int, move: Move) -> bool:
    return isinstance(move, Hold) and move.generations[0] % USERS == user


def group(*moves: st.SearchStrategy[Move]) -> st.SearchStrategy[list[Move]]:
    return st.lists(st.one_of(*moves), min_size=2, max_size=8)


class Ledger(RuleBasedStateMachine):
    """Two users on two plans, sixteen videos, three days on both sides of a month's end."""

    def __init__(self, runner: asyncio.Runner, clerk: Clerk) -> None:
        super().__init__()
        self.run = runner.run
        self.clerk = clerk
        self.books = opened((Limits(None, None),) * USERS)

    @initialize(plans=st.tuples(LIMITS, LIMITS))
    def open(self, plans: tuple[Limits, ...]) -> None:
        self.books = opened(plans)
        self.run(self.clerk.open(self.books))

    @rule(moves=group(HOLD, HOLD, BATCH, END, END, ASSIGN, EDIT))
    def anything(self, moves: list[Move]) -> None:
        self.run(self._fire([aimed(self.books, move) for move in moves]))

    @rule(
        holds=st.lists(st.one_of(HOLD, HOLD, BATCH), min_size=1, max_size=5),
        changes=st.lists(st.one_of(EDIT, ASSIGN), min_size=1, max_size=3),
        lock=st.sampled_from(["lock_balance", "lock_spending"]),
    )
    def a_queue(self, holds: list[Move], changes: list[Move], lock: str) -> None:
        """Limits change while holds wait: those are in force when these take anything."""
        self.run(self._change([aimed(self.books, hold) for hold in holds], changes, lock))

    @rule(generation=TARGET, moves=st.lists(END, min_size=2, max_size=7), is_held=st.booleans())
    def a_quarrel(
        self, generation: int, moves: list[Settle | Release | Correct], *, is_held: bool
    ) -> None:
        """All of them end the same hold, which is there already or comes meanwhile."""
        hold = aimed(self.books, Hold((generation,), 300, FREE))
        assert isinstance(hold, Hold)
        ends = [move._replace(generation=hold.generations[0]) for move in moves]
        if is_held:
            self.run(self._fire([hold]))
        self.run(self._fire([hold, *ends]))

    @precondition(lambda self: self.books.day < len(MONTH_OF) - 1)
    @rule()
    def a_day_ends(self) -> None:
        day = self.books.day + 1
        self.books = self.books._replace(day=day)
        self.run(set_clock(self.clerk.pool, self.clerk.days[day]))

    def teardown(self) -> None:
        for check in ("unbalanced", "unbalanced_spending"):
            assert self.run(self.clerk.pool.fetch(money.SQL[check])) == []

    async def _fire(self, moves: Sequence[Move]) -> None:
        outcomes = await asyncio.gather(*self._begun(moves))

        await self._explain(moves, outcomes)

    async def _change(self, holds: Sequence[Move], changes: Sequence[Move], lock: str) -> None:
        """One user's holds wait for their balance, or everybody's for the day."""
        today = self.clerk.days[self.books.day]
        wanted: object = today.date()
        async with self.clerk.pool.acquire() as connection, connection.transaction():
            if lock == "lock_balance":
                user = self.clerk.user(0)
                wanted = await connection.fetchval(money.SQL["balance"], user, today)
            is_locked = bool(await connection.fetch(money.SQL[lock], wanted))
            waiting = self._begun(holds)
            await asyncio.sleep(COMES_TO_THE_LOCK_S)
            changed = await asyncio.gather(*self._begun(changes))
        outcomes = [*await asyncio.gather(*waiting), *changed]

        over = frozenset(range(len(holds), len(outcomes)))
        await self._explain(
            [*holds, *changes],
            outcomes,
            {
                index: over
                for index, hold in enumerate(holds)
                if is_locked and (lock == "lock_spending" or is_of(0, hold))
            },
        )

    def _begun(self, moves: Sequence[Move]) -> "list[asyncio.Task[Outcome]]":
        # A batch would else meet the moves of its items where nobody meets them.
        locks = any(isinstance(move, Hold) and len(move.generations) > 1 for move in moves)
        return [asyncio.create_task(self.clerk.make(move, locks=locks)) for move in moves]

    async def _explain(
        self,
        moves: Sequence[Move],
        outcomes: Sequence[Outcome],
        later_than: Mapping[int, frozenset[int]] | None = None,
    ) -> None:
        books = await self.clerk.read(self.books.day)
        assert serial_order(self.books, moves, outcomes, books, later_than) is not None, (
            f"no order explains it: {moves} with {outcomes} from {self.books} to {books}"
        )
        self.books = books


@pytest.mark.timeout(3_600)
def test_what_is_asked_at_once_ends_as_if_it_were_asked_one_after_the_other(
    database_url: str,
) -> None:
    numbers = itertools.count()
    # Its own loop: a state machine's rules are plain functions.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = AsyncExitStack()
        pool = runner.run(stack.enter_async_context(many_connections(database_url)))

        class Example(Ledger):
            def __init__(self) -> None:
                number = next(numbers)
                super().__init__(runner, Clerk(pool, f"example_{number}", days_of(number)))

        try:
            run_state_machine_as_test(Example, settings=SETTINGS)
        finally:
            runner.run(stack.aclose())


@asynccontextmanager
async def many_connections(url: str) -> AsyncGenerator[Pool]:
    """To a database whose clock is ours."""
    async with connect(settings_for_database(url, connections_max=1)) as first:
        await set_up_clock(first)
    async with connect(settings_for_database(url, connections_max=CONNECTIONS)) as pool:
        yield pool


BEFORE = opened((Limits(1, None), Limits(None, None)))
ONE, OTHER = Hold((0,), 300, FREE), Hold((2,), 300, FREE)


def test_one_video_for_two_holds_is_explained_by_either_order() -> None:
    after, _ = made(BEFORE, OTHER)

    order = serial_order(BEFORE, [ONE, OTHER], ["quota_exceeded", "held"], after)

    assert order == [1, 0]


def test_two_videos_where_one_is_left_are_explained_by_no_order() -> None:
    grown, _ = made(BEFORE, Edit(0, Limits(2, None)))
    after = made(made(grown, ONE)[0], OTHER)[0]._replace(plans=BEFORE.plans)

    assert serial_order(BEFORE, [ONE, OTHER], ["held", "held"], after) is None


def test_a_limit_that_was_lowered_meanwhile_is_passed_by_no_order() -> None:
    before = opened((Limits(2, None), Limits(None, None)))
    moves = [ONE, OTHER, Edit(0, Limits(1, None)), Hold((4,), 300, FREE)]
    after = made(made(made(before, ONE)[0], OTHER)[0], moves[2])[0]

    outcomes = ["held", "held", DONE, "quota_exceeded"]
    late = made(after, Settle(0, 300, provisional=False))[0]

    assert serial_order(before, moves, outcomes, after) == [0, 1, 2, 3]
    assert serial_order(before, moves, outcomes, late) is None
    assert serial_order(before, moves, outcomes, after, {0: frozenset({2})}) is None
    # The last one found the new limit before one of the first was granted: it came too late for it.
    assert serial_order(before, moves, ["held", "quota_exceeded", DONE, "held"], after) is None

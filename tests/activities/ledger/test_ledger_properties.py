"""Whatever is asked in whatever order: balances are the ledger's sum and never pass a limit."""

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.activities.ledger.conftest import Bank
from workflows.contracts.failures import RequestRefused

VIDEOS_LIMIT = 3
COST_LIMIT = 1_000

_users = itertools.count()


class Move(NamedTuple):
    """One call for one of a user's generations."""

    name: str
    generation: int
    usd_micros: int


# Costs near the limit and mostly holds and settlements, so that the limits are reached.
HOLDS = st.builds(Move, st.just("hold"), st.integers(0, 3), st.sampled_from([400, 500, 600]))
SETTLEMENTS = st.builds(Move, st.just("settle"), st.integers(0, 3), st.sampled_from([1_000, 300]))
ENDS = st.builds(Move, st.sampled_from(["release", "lose"]), st.integers(0, 3), st.integers(0, 600))
MOVES = st.one_of(HOLDS, HOLDS, SETTLEMENTS, SETTLEMENTS, ENDS)
BATCHES = st.lists(st.lists(MOVES, min_size=1, max_size=4), min_size=3, max_size=8)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=BATCHES)
async def test_balances_are_the_ledgers_sum_under_any_interleaving(
    bank: Bank, batches: list[list[Move]]
) -> None:
    user = f"user-{next(_users)}"
    await bank.pool.execute(
        "INSERT INTO plans (plan, title, videos_limit, cost_limit_usd_micros)"
        " VALUES ('tight', 'Tight', $1, $2) ON CONFLICT DO NOTHING",
        VIDEOS_LIMIT,
        COST_LIMIT,
    )
    await bank.subscribe("tight", user)

    for batch in batches:
        await asyncio.gather(*(tried(bank, user, move) for move in batch))

        balance = await bank.balance(user)
        assert min(balance) >= 0
        assert balance[0] + balance[1] <= VIDEOS_LIMIT
        assert balance[2] + balance[3] <= COST_LIMIT
    assert await bank.unbalanced() == 0
    spent = await bank.pool.fetchrow(
        "SELECT sum(reserved_usd_micros)::bigint, sum(settled_usd_micros)::bigint FROM ledger"
    )
    assert spent is not None
    assert await bank.spending() in (
        {},
        {"day": (spent[0] or 0, spent[1] or 0), "month": (spent[0] or 0, spent[1] or 0)},
    )


async def tried(bank: Bank, user: str, move: Move) -> None:
    """Make the move; a refusal is an answer like any other."""
    with suppress(RequestRefused):
        await coroutine_of(bank, user, move)


def coroutine_of(bank: Bank, user: str, move: Move) -> Coroutine[Any, Any, object]:
    generation_id = f"{user}-{move.generation}"
    match move.name:
        case "hold":
            return bank.hold(generation_id, move.usd_micros, user)
        case "settle":
            return settle_within_the_hold(bank, generation_id, move.usd_micros)
        case "release":
            return bank.release(generation_id)
        case _:
            return bank.release(generation_id, house_usd_micros=move.usd_micros)


async def settle_within_the_hold(bank: Bank, generation_id: str, usd_micros: int) -> None:
    """Settle at most the quote, as the design books it; nothing where nothing was ever held."""
    quoted = await bank.pool.fetchval(
        "SELECT quoted_usd_micros FROM reservations WHERE generation_id = $1", generation_id
    )
    if quoted is not None:
        await bank.settle(generation_id, min(usd_micros, quoted))

"""How long a generation is expected to take: the catalogue's guess, corrected by recent runs."""

import itertools
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool
from activities.ledger.activities import LedgerActivities
from activities.ledger.catalogues import load_catalogue
from activities.ledger.expectations import RUNS, RUNS_MIN, usual_s
from activities.media.inputs import Inputs
from tests.activities.conftest import EXAMPLES, WAN, a_generation, a_quote, a_request, some_terms
from workflows.contracts.activities import Reserve
from workflows.contracts.stages import Stage

TALK = "wavespeed-ai/infinitetalk"
CATALOGUE = {entry.model: entry for entry in load_catalogue().models}
WAN_GUESS_S = 90
"""Of the catalogue, for five seconds."""

_numbers = itertools.count()


async def ran(  # noqa: PLR0913 - each test names what matters
    pool: Pool,
    took_s: float,
    *,
    model: str = WAN,
    duration_s: float = 5.0,
    provider: str = "sandbox",
    ago: timedelta = timedelta(),
    stage: Stage = Stage.COMPLETED,
) -> str:
    """A generation whose job took `took_s` seconds at the provider, and ended `ago`."""
    generation_id = f"gen_{next(_numbers)}"
    quote = a_quote(model=model, duration_s=duration_s)
    terms = some_terms(generation_id, provider=provider, quote=quote)
    await a_generation(pool, generation_id, terms=terms, stage=stage)
    await pool.execute(
        "UPDATE generations SET model = $2, completed_at = completed_at - $3::interval"
        " WHERE generation_id = $1",
        generation_id,
        model,
        ago,
    )
    await pool.execute(
        "UPDATE events SET at = began.at + $2::interval FROM events AS began"
        " WHERE began.generation_id = $1 AND began.stage = 'generating'"
        " AND events.generation_id = $1 AND events.stage = 'downloading'",
        generation_id,
        timedelta(seconds=took_s),
    )
    return generation_id


async def expected_s(
    pool: Pool, duration_s: float = 5.0, *, model: str = WAN, provider: str = "sandbox"
) -> int:
    return await usual_s(pool, CATALOGUE[model], duration_s, provider)


async def test_without_recent_runs_the_catalogues_guess_is_told(database: Pool) -> None:
    for _ in range(RUNS_MIN - 1):
        await ran(database, 10)

    assert await expected_s(database) == WAN_GUESS_S
    assert await expected_s(database, 10) == 120


async def test_the_median_of_recent_runs_is_told(database: Pool) -> None:
    for took_s in (30, 45, 4000):
        await ran(database, took_s)

    assert await expected_s(database) == 45


async def test_runs_of_another_model_another_provider_or_without_a_video_do_not_count(
    database: Pool,
) -> None:
    for _ in range(RUNS_MIN):
        await ran(database, 10, model=TALK)
        await ran(database, 10, provider="wavespeed")
        await ran(database, 10, stage=Stage.DOWNLOADING)

    assert await expected_s(database) == WAN_GUESS_S
    assert await expected_s(database, provider="wavespeed") == 10


async def test_short_runs_say_something_of_a_long_one(database: Pool) -> None:
    talk = CATALOGUE[TALK].expected
    for duration_s in (5, 10, 20):
        took_s = 2 * talk.seconds(duration_s)
        await ran(database, took_s, model=TALK, duration_s=duration_s)

    assert await expected_s(database, 600, model=TALK) == 2 * talk.seconds(600)


async def test_only_the_newest_runs_count(database: Pool) -> None:
    for number in range(RUNS):
        await ran(database, 45, ago=timedelta(minutes=number))
    for _ in range(RUNS + 1):
        await ran(database, 900, ago=timedelta(days=1))

    assert await expected_s(database) == 45


async def test_it_is_never_expected_in_no_time(database: Pool) -> None:
    for _ in range(RUNS_MIN):
        await ran(database, 0.001)

    assert await expected_s(database) == 1


async def test_a_run_that_was_parked_for_days_does_not_spoil_the_rest(database: Pool) -> None:
    for took_s in (40, 45, 50, 600_000):
        await ran(database, took_s)

    assert await expected_s(database) == pytest.approx(48, abs=1)


async def test_what_is_expected_is_frozen_in_the_terms(
    ledger: LedgerActivities, inputs: Inputs, database: Pool
) -> None:
    image = (await inputs.add("bob", EXAMPLES / "coffee.jpg", "image")).media_id
    request = a_request(user_id="bob", image={"media_id": image})
    task = Reserve(generation_id="gen_new", request=request)
    for _ in range(RUNS_MIN):
        await ran(database, 45)

    first = await ActivityEnvironment().run(ledger.reserve, task)
    for _ in range(RUNS):
        await ran(database, 300)
    again = await ActivityEnvironment().run(ledger.reserve, task)

    assert first.quote.expected_s == 45
    assert again == first
    assert await expected_s(database) == 300

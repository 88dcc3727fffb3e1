"""The ledger's activities, with a real picture in a real store."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.generations.reading import Reader
from activities.ledger.activities import LedgerActivities
from activities.ledger.settings import LedgerSettings
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from tests.activities.conftest import a_generation, a_picture, a_request, stage_of
from tests.activities.ledger.attempts import close, reserve
from tests.activities.ledger.conftest import Bank
from workflows.contracts.activities import Booked, Close, ForGeneration, Park, Reserve
from workflows.contracts.failures import FailureKind, RequestRefused, failure
from workflows.contracts.stages import Stage


async def test_a_reservation_agrees_on_terms_and_holds_the_quote(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    terms = await reserve(ledger, media_id, duration_s=10, resolution="480p", seed=7)

    assert terms.quote.cost_usd_micros == 500_000
    assert (terms.provider, terms.provider_path) == ("sandbox", "alibaba/wan-2.5/image-to-video")
    assert terms.parameters == {
        "duration_s": 10,
        "resolution": "480p",
        "seed": 7,
        "prompt_expansion": True,
    }
    assert await bank.balance() == (1, 0, 500_000, 0)
    assert await stage_of(bank.pool, "gen_one") is Stage.PROMPTING
    assert "calm sea" not in terms.model_dump_json()
    assert "ann" not in terms.user_hash


async def test_a_repeated_reservation_returns_the_same_terms(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    first = await reserve(ledger, media_id)

    second = await reserve(ledger, media_id)

    assert first == second
    assert (await bank.balance())[0] == 1


async def test_reservations_of_one_generation_at_once_agree_on_the_same_terms(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    terms = await asyncio.gather(*(reserve(ledger, media_id) for _ in range(3)))

    assert all(each == terms[0] for each in terms)
    assert (await bank.balance())[0] == 1


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        ({"resolution": "4k"}, FailureKind.INVALID_REQUEST, "resolution: '4k'"),
        ({"max_cost_usd_micros": 1}, FailureKind.MAX_COST_EXCEEDED, "max_cost_usd_micros"),
        (
            {"resolution": "1080p", "duration_s": 10},
            FailureKind.SPEND_LIMIT_REACHED,
            "deployment's $1.00 for this day",
        ),
    ],
    ids=str,
)
async def test_what_is_refused_holds_nothing_and_does_not_use_the_id_up(
    ledger: LedgerActivities,
    media_id: str,
    bank: Bank,
    asked: dict[str, Any],
    kind: FailureKind,
    told: str,
) -> None:
    capped = {"default_plan": "free", "spend_limit_usd_day": "1"}
    settings = LedgerSettings.model_validate(capped)
    ledger.admission = replace(ledger.admission, settings=settings)

    with pytest.raises(ApplicationError) as refused:
        await reserve(ledger, media_id, **asked)
    booked = await close(ledger, "release", kind)
    mended = await reserve(ledger, media_id, run_id="second run")

    assert (refused.value.type, refused.value.non_retryable) == (kind, True)
    assert told in refused.value.message
    assert booked == Booked(cost_usd_micros=0, money="Nothing was charged.")
    assert mended.quote.cost_usd_micros == 500_000
    assert (await bank.balance())[0] == 1


async def test_another_users_picture_is_not_found(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    with pytest.raises(ApplicationError, match=r"^invalid_media: image: med_.*of this user") as no:
        await reserve(ledger, media_id, user_id="bob")

    assert no.value.type == FailureKind.INVALID_MEDIA
    assert await bank.balance("bob") == (0, 0, 0, 0)


async def test_a_picture_that_the_model_does_not_take_is_refused_with_its_size(
    ledger: LedgerActivities, inputs: Inputs, tmp_path: Path
) -> None:
    small = tmp_path / "small.jpg"
    small.write_bytes(a_picture(100, 100))
    tiny = (await inputs.add("ann", small, "image")).media_id

    with pytest.raises(ApplicationError, match="100x100 pixels; allowed: each side from 360"):
        await reserve(ledger, tiny)


async def reserve_from_url(ledger: LedgerActivities, url: str) -> ApplicationError:
    """How a reservation with a picture at `url` ends."""
    task = Reserve(generation_id="gen_one", request=a_request(image={"url": url}))
    with pytest.raises(ApplicationError) as ended:
        await ActivityEnvironment().run(ledger.reserve, task)
    return ended.value


async def test_a_picture_behind_our_own_walls_is_not_fetched(ledger: LedgerActivities) -> None:
    refused = await reserve_from_url(ledger, "https://127.0.0.1/secret.jpg?token=abc")

    assert (refused.type, refused.non_retryable) == (FailureKind.INVALID_MEDIA, True)
    assert refused.message.startswith("image: ")
    assert "secret" not in refused.message


async def test_a_picture_whose_server_is_away_may_be_tried_again(
    ledger: LedgerActivities, database: Pool, store: MediaStore, media_settings: MediaSettings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    private = media_settings.model_copy(update={"allow_private_inputs": True})
    ledger.admission = replace(ledger.admission, inputs=Inputs(database, store, private))

    away = await reserve_from_url(ledger, f"https://127.0.0.1:{port}/picture.jpg")

    assert (away.type, away.non_retryable) == (FailureKind.INVALID_MEDIA, False)
    assert away.message.startswith("image: ")


async def test_a_generation_that_was_ended_first_can_not_be_reserved(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    cancelled = await close(ledger, "release", FailureKind.CANCELLED)

    with pytest.raises(ApplicationError) as refused:
        await reserve(ledger, media_id)

    assert cancelled.money == "Nothing was charged."
    assert refused.value.type == FailureKind.ALREADY_CLOSED
    assert await bank.balance() == (0, 0, 0, 0)


async def test_a_reservation_after_the_end_is_refused(
    ledger: LedgerActivities, media_id: str
) -> None:
    await reserve(ledger, media_id)
    await close(ledger, "release", FailureKind.PROVIDER_FAILED)

    with pytest.raises(ApplicationError, match="it is released") as refused:
        await reserve(ledger, media_id, run_id="second run")

    assert refused.value.type == FailureKind.ALREADY_CLOSED


async def test_another_request_under_the_same_id_is_refused(
    ledger: LedgerActivities, media_id: str
) -> None:
    await reserve(ledger, media_id)

    with pytest.raises(ApplicationError) as refused:
        await reserve(ledger, media_id, prompt="another")

    assert refused.value.type == FailureKind.KEY_REUSED


async def test_a_key_that_names_another_generation_is_not_reserved_twice(
    ledger: LedgerActivities, media_id: str
) -> None:
    await reserve(ledger, media_id, idempotency_key="k", generation_id="gen_one")

    with pytest.raises(ApplicationError, match="names gen_one already") as refused:
        await reserve(ledger, media_id, idempotency_key="k", generation_id="mine-2")

    assert refused.value.type == FailureKind.KEY_REUSED


@pytest.mark.parametrize(
    ("settle", "cost", "told", "balance", "house"),
    [
        (
            "release",
            0,
            "Nothing was charged. The $0.50 that was reserved is released.",
            (0, 0, 0, 0),
            0,
        ),
        (
            "provisional",
            500_000,
            "$0.50 was booked for now; the provider's bill corrects it.",
            (0, 1, 0, 500_000),
            0,
        ),
        (
            "house",
            0,
            "Nothing was charged. The $0.50 that was reserved is released.",
            (0, 0, 0, 0),
            500_000,
        ),
    ],
)
async def test_an_end_without_a_video_says_what_happened_to_the_money(  # noqa: PLR0913, PLR0917 - columns of the table
    ledger: LedgerActivities,
    bank: Bank,
    store: MediaStore,
    settle: str,
    cost: int,
    told: str,
    balance: tuple[int, int, int, int],
    house: int,
) -> None:
    await a_generation(bank.pool, stage=Stage.GENERATING)

    booked = await close(ledger, settle, FailureKind.CANCELLED)

    read = await Reader(bank.pool, store).read("gen_one")
    assert booked == Booked(cost_usd_micros=cost, money=told)
    assert await bank.balance() == balance
    assert sum(each[2] for each in await bank.entries("gen_one") if each[0] == "house") == house
    assert read.error is not None
    assert (read.error.money, read.stage) == (told, Stage.CANCELLED)
    assert read.cost_usd_micros == cost


async def test_closing_again_moves_no_money_and_keeps_what_was_told(
    ledger: LedgerActivities, bank: Bank, store: MediaStore
) -> None:
    await a_generation(bank.pool, stage=Stage.GENERATING)
    first = await close(ledger, "provisional", FailureKind.CANCELLED)

    again = await close(ledger, "provisional", FailureKind.CANCELLED)
    otherwise = await close(ledger, "release", FailureKind.INTERNAL)

    read = await Reader(bank.pool, store).read("gen_one")
    assert again == first
    assert otherwise == Booked(cost_usd_micros=500_000, money="$0.50 was booked before.")
    assert await bank.balance() == (0, 1, 0, 500_000)
    assert read.error is not None
    assert read.error.money == first.money


@pytest.mark.parametrize(
    ("state", "balance"),
    [
        ("prepared", (0, 0, 0, 0)),
        ("rejected", (0, 0, 0, 0)),
        ("sending", (0, 1, 0, 500_000)),
        ("unknown", (0, 1, 0, 500_000)),
        ("accepted", (0, 1, 0, 500_000)),
    ],
)
async def test_a_cancel_of_a_second_run_releases_only_what_no_earlier_run_has_submitted(
    ledger: LedgerActivities, bank: Bank, state: str, balance: tuple[int, int, int, int]
) -> None:
    await a_generation(bank.pool, stage=Stage.SUBMITTING)
    await bank.pool.execute(
        "INSERT INTO submissions (generation_id, state, provider_path, base_url, staged_url,"
        " sending_at, send_by, prediction_id)"
        " VALUES ('gen_one', $1, 'a/b', 'http://x', 'http://x/1', now(), now(),"
        " CASE $1 WHEN 'accepted' THEN 'made-before' END)",
        state,
    )
    task = Close(
        generation_id="gen_one",
        stage=Stage.CANCELLED,
        failure=failure(FailureKind.CANCELLED, "Cancelled before anything was submitted."),
        unless_submitted=True,
    )

    await ActivityEnvironment().run(ledger.close, task)

    assert await bank.balance() == balance


async def test_an_end_drops_the_body_of_the_submission(
    ledger: LedgerActivities, database: Pool
) -> None:
    await a_generation(database, stage=Stage.SUBMITTING)
    await database.execute(
        "INSERT INTO submissions (generation_id, state, provider_path, base_url, staged_url,"
        " payload) VALUES ('gen_one', 'rejected', 'a/b', 'http://x', 'http://x/1', '{}')"
    )

    await close(ledger, "release", FailureKind.GIVEN_UP)

    assert await database.fetchval("SELECT payload FROM submissions") is None


async def test_an_attempt_that_was_held_up_past_the_end_holds_nothing(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    request = a_request(image={"media_id": media_id})
    priced = await ledger.admission.price(request)
    async with bank.pool.acquire() as connection, connection.transaction():
        await generations.claim(connection, "gen_one", request)
        await generations.record(connection, "gen_one", Stage.FAILED)

    async with bank.pool.acquire() as connection:
        with pytest.raises(RequestRefused, match="has ended meanwhile"):
            await ledger.admission.hold(connection, "gen_one", request, priced)

    assert await bank.entries("gen_one") == []


async def test_usage_is_recorded_once(
    ledger: LedgerActivities, bank: Bank, store: MediaStore
) -> None:
    await a_generation(bank.pool, stage=Stage.SETTLING)
    task = ForGeneration(generation_id="gen_one")

    booked = [await ActivityEnvironment().run(ledger.record_usage, task) for _ in range(2)]

    assert booked == [Booked(cost_usd_micros=500_000, money="$0.50 was booked.")] * 2
    assert await bank.balance() == (0, 1, 0, 500_000)
    assert (await Reader(bank.pool, store).read("gen_one")).stage is Stage.COMPLETED


async def test_parking_keeps_the_hold_and_says_so(
    ledger: LedgerActivities, bank: Bank, store: MediaStore
) -> None:
    await a_generation(bank.pool, stage=Stage.GENERATING)
    told = failure(FailureKind.DEADLINE_PASSED, "It takes long.")
    task = Park(generation_id="gen_one", stage=Stage.TIMED_OUT, failure=told)

    booked = [await ActivityEnvironment().run(ledger.park, task) for _ in range(2)]

    read = await Reader(bank.pool, store).read("gen_one")
    assert booked == [Booked(cost_usd_micros=0, money="$0.50 stays reserved.")] * 2
    assert await bank.balance() == (1, 0, 500_000, 0)
    assert read.error is not None
    assert (read.stage, read.error.money) == (Stage.TIMED_OUT, "$0.50 stays reserved.")

"""What a user is told of their period: by model and source, and the limit that stops them."""

from dataclasses import replace
from typing import Any

import pytest

from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.catalogues import load_catalogue
from activities.ledger.settings import LedgerSettings
from activities.ledger.usage import Share, UsageReport, cheapest_usd_micros, report_of
from tests.activities.conftest import WAN, a_request
from tests.activities.ledger.conftest import Bank
from workflows.contracts.failures import FailureKind, RequestRefused

CATALOGUE = load_catalogue()
CHEAPEST = cheapest_usd_micros(CATALOGUE)
KLING = "kwaivgi/kling-v2.5-turbo-std/image-to-video"


async def report(bank: Bank, user_id: str = "ann") -> UsageReport:
    async with bank.pool.acquire() as connection:
        return await report_of(connection, user_id, bank.settings, CATALOGUE)


async def made(bank: Bank, generation_id: str, *, model: str = WAN, **asked: Any) -> None:
    """A generation that was reserved for $0.50."""
    async with bank.pool.acquire() as connection, connection.transaction():
        request = a_request(model=model, **asked)
        await generations.claim(connection, generation_id, request)
        await money.hold(connection, generation_id, request.user_id, 500_000, bank.settings)


async def test_the_shares_of_models_and_sources_add_up_to_the_whole(bank: Bank) -> None:
    await made(bank, "gen_settled", source="video_studio")
    await bank.settle("gen_settled", 300_000)
    await made(bank, "gen_held", source="video_studio")
    await made(bank, "gen_other", source="story_writer", model=KLING)
    await made(bank, "gen_released", source="image_studio")
    await bank.release("gen_released")
    await made(bank, "gen_bobs", user_id="bob")

    usage = await report(bank)

    studio = {"model": WAN, "source": "video_studio"}
    writer = {"model": KLING, "source": "story_writer"}
    assert usage.shares == (
        Share(
            **studio,
            videos_reserved=1,
            videos_settled=1,
            reserved_usd_micros=500_000,
            settled_usd_micros=300_000,
        ),
        Share(
            **writer,
            videos_reserved=1,
            videos_settled=0,
            reserved_usd_micros=500_000,
            settled_usd_micros=0,
        ),
    )
    assert (usage.videos_reserved, usage.videos_settled) == (2, 1)
    assert (usage.reserved_usd_micros, usage.settled_usd_micros) == (1_000_000, 300_000)


async def test_what_the_house_pays_is_not_shown_to_the_user(bank: Bank) -> None:
    await made(bank, "gen_lost")
    await bank.release("gen_lost", house_usd_micros=500_000)

    usage = await report(bank)

    assert usage.shares == ()
    assert usage.settled_usd_micros == 0


async def test_a_correction_counts_in_the_period_of_its_reservation(bank: Bank) -> None:
    await made(bank, "gen_old")
    await bank.settle("gen_old", 500_000)
    await bank.pool.execute(
        "UPDATE balances SET period = tstzrange(now() - interval '2 months',"
        " now() - interval '1 month')"
    )
    await made(bank, "gen_new")
    await bank.settle("gen_new", 500_000)
    async with bank.pool.acquire() as connection, connection.transaction():
        for generation_id, usd_micros in (("gen_old", -400_000), ("gen_new", -100_000)):
            held = await money.reservation_of(connection, generation_id)
            assert held is not None
            await money.correct(connection, held, user_usd_micros=usd_micros)

    usage = await report(bank)

    assert usage.settled_usd_micros == 400_000
    assert [share.settled_usd_micros for share in usage.shares] == [400_000]


async def test_who_has_used_nothing_is_told_the_whole_of_the_plan(bank: Bank) -> None:
    free = replace(bank, settings=LedgerSettings(default_plan="free"))

    usage = await report(free)

    assert (usage.shares, usage.stopped_by) == ((), None)
    assert (usage.videos_remaining, usage.remaining_usd_micros) == (2, 2_000_000)


@pytest.mark.parametrize(
    ("videos", "usd_micros", "caps", "kind"),
    [
        (2, 500_000 + CHEAPEST, {"day": "1", "month": "1"}, None),
        (None, None, {}, None),
        (1, None, {}, FailureKind.QUOTA_EXCEEDED),
        (None, 500_000 + CHEAPEST - 1, {}, FailureKind.QUOTA_EXCEEDED),
        (0, 0, {"day": "0"}, FailureKind.QUOTA_EXCEEDED),
        (None, None, {"day": "0.5"}, FailureKind.SPEND_LIMIT_REACHED),
        (None, None, {"month": "0.5"}, FailureKind.SPEND_LIMIT_REACHED),
    ],
    ids=str,
)
async def test_the_limit_that_stops_a_user_is_told_as_their_start_would_tell_it(
    bank: Bank,
    videos: int | None,
    usd_micros: int | None,
    caps: dict[str, str],
    kind: FailureKind | None,
) -> None:
    await made(bank, "gen_one")
    await bank.on_plan(videos, usd_micros)
    given = {f"spend_limit_usd_{span}": cap for span, cap in caps.items()}
    limited = replace(bank, settings=LedgerSettings.model_validate(given))

    usage = await report(limited)
    try:
        await limited.hold("gen_two", CHEAPEST)
    except RequestRefused as refused:
        told = refused.failure
    else:
        told = None

    assert usage.stopped_by == told
    assert (told.kind if told else None) is kind


async def test_a_user_on_no_plan_is_refused_by_the_name_of_their_id(bank: Bank) -> None:
    strict = replace(bank, settings=LedgerSettings(default_plan="none"))

    with pytest.raises(RequestRefused, match=r"^user_id: 'ann' is on no plan"):
        await report(strict)


def test_the_cheapest_video_is_one_that_can_be_asked_for() -> None:
    # Five seconds of the talking avatar's smallest size, the least that the provider charges.
    assert CHEAPEST == 150_000

"""What is left and what was spent over HTTP, and what can be asked for."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.ledger.catalogues import load_catalogue
from tests.activities.conftest import QUOTED, WAN
from tests.starter.api.conftest import Api
from tests.starter.api.holders import owners_pool
from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.api.shelves import filed


async def test_a_user_is_told_what_is_left_and_who_has_used_it(api: Api, product: Product) -> None:
    user = a_user()
    await filed(api, user)
    await filed(api, user, source="podcast_maker")

    usage = (await product.get("/v1/usage", user)).json()

    assert (usage["user_id"], usage["plan"]) == (user, "free")
    assert (usage["videos_reserved"], usage["videos_remaining"]) == (2, 0)
    assert usage["reserved_usd_micros"] == 2 * QUOTED
    # Of the products that the key is for.
    assert [(share["source"], share["videos_reserved"]) for share in usage["shares"]] == [
        ("api", 1)
    ]
    assert usage["stopped_by"]["kind"] == "quota_exceeded"
    assert "stillmotion" not in usage["stopped_by"]["hint"]


async def test_a_user_is_told_what_each_day_has_cost(api: Api, product: Product) -> None:
    user = a_user()
    video = await filed(api, user)
    await filed(api, user, source="podcast_maker")
    async with owners_pool(api.stack) as pool:
        await pool.execute(
            "UPDATE reservations SET spent_on = spent_on - 3 WHERE generation_id = $1",
            video.generation_id,
        )
    today = datetime.now(UTC).date()

    daily = (await product.get("/v1/usage/daily", user)).json()
    short = (await product.get("/v1/usage/daily?days=2", user)).json()

    assert (daily["since"], daily["until"]) == (
        (today - timedelta(days=29)).isoformat(),
        today.isoformat(),
    )
    assert daily["days"] == [
        {
            "day": (today - timedelta(days=3)).isoformat(),
            "model": WAN,
            "source": "api",
            "videos_reserved": 1,
            "videos_settled": 0,
            "reserved_usd_micros": QUOTED,
            "settled_usd_micros": 0,
        }
    ]
    assert short["days"] == []


@pytest.mark.parametrize("days", ["0", "367", "x"])
async def test_a_number_of_days_that_can_not_be_is_refused(product: Product, days: str) -> None:
    reply = await product.get(f"/v1/usage/daily?days={days}", a_user())

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_request")


async def test_models_are_told_as_the_catalogue_has_them(product: Product) -> None:
    told = (await product.get("/v1/models", a_user())).json()

    assert told == load_catalogue().model_dump(mode="json")


async def test_plans_are_told_with_their_limits(product: Product) -> None:
    told = (await product.get("/v1/plans", a_user())).json()

    by_name = {plan["plan"]: plan for plan in told["items"]}
    assert [*by_name] == ["free", "basic", "pro", "enterprise"]
    assert (by_name["free"]["videos_limit"], by_name["enterprise"]["videos_limit"]) == (2, None)
    assert by_name["pro"]["cost_limit_usd_micros"] == 100_000_000

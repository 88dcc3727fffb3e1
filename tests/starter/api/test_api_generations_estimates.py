"""The quote over HTTP, by the code that reserves: nothing is held, stored or started."""

import re

import pytest

from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.columns import nothing_allowed
from tests.starter.conftest import CHELSEA


async def test_an_estimate_says_cost_true_size_and_what_is_left(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user)

    reply = await product.post("/v1/estimates", user, json=wish)

    told = reply.json()
    assert (reply.status_code, told["allowed"], told["refusal"]) == (200, True, None)
    assert told["quote"]["cost_usd_micros"] == 250_000
    assert told["quote"]["duration_s"] == 5
    assert told["usage"]["videos_remaining"] == 2
    assert (await product.stored(user))["generations"] == 0


async def test_an_estimate_names_the_limit_that_would_stop_it(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user)

    async with nothing_allowed(product.stack, user):
        reply = await product.post("/v1/estimates", user, json=wish)

    told = reply.json()
    assert (reply.status_code, told["allowed"]) == (200, False)
    assert told["refusal"]["kind"] == "quota_exceeded"
    assert not re.search(r"stillmotion |--\w", told["refusal"]["hint"])


async def test_an_estimate_of_what_the_model_does_not_take_is_refused(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user, image=await product.uploaded(user, CHELSEA))

    reply = await product.post("/v1/estimates", user, json=wish)

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_media")


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/a.jpg", "https://169.254.169.254/latest", "https://[::1]/a.jpg"]
)
async def test_a_url_that_leads_into_our_own_network_is_not_visited(
    product: Product, url: str
) -> None:
    user = a_user()
    wish = await product.wish(user, image={"url": url})

    reply = await product.post("/v1/estimates", user, json=wish)

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_media")


async def test_a_key_is_no_matter_to_an_estimate(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user)
    header = {"Idempotency-Key": "once"}

    replies = [
        await product.post("/v1/estimates", user, headers=header, json={**wish, "seed": seed})
        for seed in (1, 2)
    ]

    assert [reply.status_code for reply in replies] == [200, 200]

"""A caller who starts workflows names generations by any text: the API finds these, too."""

from urllib.parse import quote

import pytest

from activities.generations import repository as generations
from tests.activities.conftest import a_request
from tests.starter.api.conftest import Api
from tests.starter.api.followers import listening
from tests.starter.api.products import Product, a_user


@pytest.mark.parametrize("odd", ["order/7?a=b#c", "a//b", "%2F", "../.."])
async def test_a_callers_own_id_may_be_any_text(api: Api, product: Product, odd: str) -> None:
    user = a_user()
    generation_id = f"{odd}-{user}"
    async with api.parts.pool.acquire() as connection:
        await generations.claim(connection, generation_id, a_request(user_id=user, source="api"))
    path = f"/v1/generations/{quote(generation_id, safe='')}"

    found = await product.get(path, user)
    steered = [
        await product.post(f"{path}/cancel", user),
        await product.post(f"{path}/resume", user),
        await product.post(f"{path}/resolve", user, json={"decision": "give_up"}),
    ]
    async with listening(product, f"{path}/events", user) as stream:
        first = await stream.heard()

    told = found.json()
    assert (told["generation_id"], told["links"]["self"]) == (generation_id, path)
    assert [each.status_code for each in steered] == [409, 409, 409]
    assert (first.event, first.data["generation_id"]) == ("accepted", generation_id)

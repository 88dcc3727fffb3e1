"""The optional question for the provider's price, before anything paid is written down."""

from collections.abc import Awaitable, Callable, Mapping

import pytest
from pydantic import JsonValue, SecretStr
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.activities import ProviderActivities
from activities.provider.errors import Unavailable
from activities.provider.settings import ProviderSettings
from activities.provider.staging import Staging
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import (
    QUOTED,
    SandboxControl,
    a_generation,
    a_picture,
    a_quote,
    some_terms,
)
from tests.activities.submissions.conftest import Desk
from workflows.contracts.activities import ForGeneration
from workflows.contracts.failures import FailureKind

Wanted = Callable[..., Awaitable[str]]


@pytest.fixture
def careful(desk: Desk, store: MediaStore) -> Staging:
    return Staging(desk.pool, store, desk.client, desk.submissions, price_check=True)


@pytest.fixture
def wanted(desk: Desk, store: MediaStore, media_settings: MediaSettings) -> Wanted:
    """Make a generation, quoted so, whose run costs $0.50 at the provider."""
    inputs = Inputs(desk.pool, store, media_settings)

    async def make(generation_id: str = "gen_one", *, quoted: int = QUOTED, path: str = "") -> str:
        picture = desk.folder / "picture"
        picture.write_bytes(a_picture())
        image = await inputs.add("ann", picture, "image")
        given = {"provider_path": path} if path else {}
        terms = some_terms(generation_id, quote=a_quote(cost_usd_micros=quoted), **given)
        return await a_generation(
            desk.pool, generation_id, terms=terms, inputs={"image": image.media_id}
        )

    return make


async def test_a_price_above_the_quote_is_refused_with_both_and_nothing_can_be_sent(
    desk: Desk, careful: Staging, wanted: Wanted
) -> None:
    await wanted(quoted=QUOTED - 1)
    activities = ProviderActivities(
        pool=desk.pool,
        client=desk.client,
        staging=careful,
        submissions=desk.submissions,
        reconciliation=desk.reconciliation,
    )

    with pytest.raises(ApplicationError) as refused:
        await ActivityEnvironment().run(
            activities.stage_inputs, ForGeneration(generation_id="gen_one")
        )

    assert refused.value.type == FailureKind.PRICE_ABOVE_QUOTE
    assert refused.value.non_retryable
    assert refused.value.message.endswith(
        "price: the provider asks $0.50 now; allowed: the $0.499999 that was quoted."
    )
    assert await desk.submissions.read("gen_one") is None


@pytest.mark.parametrize("quoted", [QUOTED, 2 * QUOTED])
async def test_a_price_up_to_the_quote_goes_on(
    desk: Desk, careful: Staging, wanted: Wanted, quoted: int
) -> None:
    await wanted(quoted=quoted)

    assert await careful.stage("gen_one") == 1

    assert (await desk.row()).state == "prepared"


async def test_a_price_is_not_asked_for_unless_an_operator_wants_it(
    desk: Desk, store: MediaStore, wanted: Wanted
) -> None:
    await wanted(quoted=1)

    await Staging(desk.pool, store, desk.client, desk.submissions).stage("gen_one")

    assert (await desk.row()).state == "prepared"


async def test_what_is_written_down_is_not_asked_about_again(
    desk: Desk, careful: Staging, wanted: Wanted
) -> None:
    await wanted()
    await careful.stage("gen_one")
    await desk.pool.execute(
        "UPDATE generations SET terms = jsonb_set(terms, '{quote,cost_usd_micros}', '1')"
    )

    assert await careful.stage("gen_one") == 1


class _WithoutPrices(WaveSpeed):
    """A provider that takes uploads and is away when it is asked for a price."""

    async def price(self, model_id: str, inputs: Mapping[str, JsonValue]) -> int:
        await super().price(model_id, inputs)
        raise Unavailable


async def test_a_provider_that_does_not_answer_is_asked_again_before_anything_is_sent(
    desk: Desk, store: MediaStore, careful: Staging, wanted: Wanted, sandbox: SandboxControl
) -> None:
    await wanted()
    settings = {"api_key": SecretStr("a-key"), "base_url": sandbox.url}
    async with _WithoutPrices(ProviderSettings.model_validate(settings)) as client:
        staging = Staging(desk.pool, store, client, desk.submissions, price_check=True)
        with pytest.raises(Unavailable):
            await staging.stage("gen_one")
    unsent = await desk.submissions.read("gen_one")

    await careful.stage("gen_one")

    assert unsent is None
    assert (await desk.row()).state == "prepared"


async def test_a_model_without_a_price_is_told_once_and_goes_on_unchecked(
    desk: Desk, careful: Staging, wanted: Wanted
) -> None:
    for generation_id in ("gen_one", "gen_two"):
        await wanted(generation_id, quoted=1, path="nobody/knows")

    with capture_logs() as logged:
        for generation_id in ("gen_one", "gen_two"):
            await careful.stage(generation_id)

    told = [entry for entry in logged if "price" in entry["event"]]
    assert [(entry["log_level"], entry["model"]) for entry in told] == [("warning", "nobody/knows")]
    assert (await desk.row("gen_two")).state == "prepared"

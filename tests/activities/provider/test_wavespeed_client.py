"""Reading from the provider against odd replies on a real socket."""

from datetime import UTC, datetime

import pytest
from pydantic import JsonValue

from activities.provider import errors
from activities.provider.models import Status
from activities.provider.wavespeed import WaveSpeed
from tests.activities.provider.conftest import (
    CUT,
    CUT_BODY,
    ID,
    MODEL,
    SINCE,
    UNTIL,
    OddServer,
    envelope,
    http,
    settings_for,
)


def a_row(number: int, **given: JsonValue) -> dict[str, JsonValue]:
    return {"id": f"row{number:05}", "status": "processing", "input": {"image": "u"}, **given}


REFUSALS = [
    pytest.param(envelope(None, 400, 400), errors.InputRefused, id="400"),
    pytest.param(envelope(None, 400, 400, error_code=1401), errors.InputRefused, id="1401"),
    pytest.param(envelope(None, 400, 400, error_code=9999), errors.InputRefused, id="9999"),
    pytest.param(envelope(None, 422, 422), errors.InputRefused, id="422"),
    pytest.param(envelope(None, 400, 400, error_code=1200), errors.PromptRejected, id="1200"),
    pytest.param(envelope({"code": 1200}, 400, 400), errors.PromptRejected, id="1200 in data"),
    pytest.param(envelope(None, 1200), errors.PromptRejected, id="1200 under 200"),
    pytest.param(envelope(None, 1400), errors.InputRefused, id="1400 under 200"),
    pytest.param(envelope(None, 402), errors.CreditExhausted, id="402 under 200"),
    pytest.param(envelope(None, 429), errors.Overloaded, id="429 under 200"),
    pytest.param(http("<html>who?</html>", 401), errors.KeyRefused, id="401"),
    pytest.param(envelope(None, 402, 402), errors.CreditExhausted, id="402"),
    pytest.param(envelope(None, 403, 403), errors.AccessDenied, id="403"),
    pytest.param(http("nothing here", 404), errors.NotFound, id="404"),
    pytest.param(http("no such method", 405), errors.NotFound, id="405"),
    pytest.param(http("big", 413), errors.TooLarge, id="413"),
    pytest.param(http("slow down", 429), errors.Overloaded, id="429"),
]


@pytest.mark.parametrize("paid", [True, False])
@pytest.mark.parametrize(("answer", "leaf"), REFUSALS)
async def test_a_clear_refusal_has_its_own_name_for_a_submission_and_for_a_read(
    odd: OddServer,
    provider: WaveSpeed,
    answer: bytes,
    leaf: type[errors.ProviderError],
    *,
    paid: bool,
) -> None:
    odd.will(answer)

    with pytest.raises(errors.ProviderError) as raised:
        await (provider.submit(MODEL, {}) if paid else provider.prediction(ID))

    assert type(raised.value) is leaf
    assert len(odd.received) == 1


@pytest.mark.parametrize(
    ("answer", "leaf"),
    [
        pytest.param(CUT, errors.Unavailable, id="cut"),
        pytest.param(CUT_BODY, errors.Unavailable, id="cut within the body"),
        pytest.param(http("gateway", 503), errors.Unavailable, id="503"),
        pytest.param(envelope(None, 500), errors.Unavailable, id="code 500 under 200"),
        pytest.param(http("<html>"), errors.MalformedReply, id="HTML"),
        pytest.param(http("x", 302, {"Location": "/"}), errors.MalformedReply, id="redirect"),
        pytest.param(
            envelope({"id": ID, "status": "created"}, pad="x" * 4 * 1024 * 1024),
            errors.MalformedReply,
            id="too big",
        ),
        pytest.param(envelope({"id": ID}), errors.MalformedReply, id="no status"),
        pytest.param(envelope(a_row(1)), errors.MalformedReply, id="another prediction"),
        pytest.param(envelope([]), errors.MalformedReply, id="no object"),
    ],
)
async def test_a_read_that_fails_says_whether_a_repeat_may_help(
    odd: OddServer, provider: WaveSpeed, answer: bytes, leaf: type[errors.ProviderError]
) -> None:
    odd.will(answer)

    with pytest.raises(errors.ProviderError) as raised:
        await provider.prediction(ID)

    assert type(raised.value) is leaf
    assert len(odd.received) == 1


async def test_a_read_without_a_reply_ends_in_unavailable(odd: OddServer) -> None:
    odd.will(None)

    async with WaveSpeed(settings_for(odd.base_url, read_timeout_s=0.05)) as provider:
        with pytest.raises(errors.Unavailable):
            await provider.prediction(ID)


@pytest.mark.parametrize("prediction_id", ["abc", "a/../b", "a b c d", "a" * 129, "abcd\n", "äöüß"])
async def test_an_id_that_may_not_go_into_a_path_is_refused_before_anything_is_sent(
    odd: OddServer, provider: WaveSpeed, prediction_id: str
) -> None:
    with pytest.raises(errors.InputRefused):
        await provider.prediction(prediction_id)
    with pytest.raises(errors.InputRefused):
        await provider.delete(prediction_id)

    assert odd.connections == 0


async def test_a_finished_prediction_is_read_whatever_form_its_outputs_have(
    odd: OddServer, provider: WaveSpeed
) -> None:
    outputs: list[JsonValue] = ["https://c/1.mp4?s=1", {"url": "https://c/2.mp4"}, "words", None]
    odd.will(
        envelope(
            {
                "id": ID,
                "model": MODEL,
                "status": "completed",
                "outputs": outputs,
                "has_nsfw_contents": [False, True],
                "created_at": "2026-11-20T08:00:00.948268264Z",
                "input": {"image": "https://c/i.jpg"},
                "executionTime": 25729,
                "timings": {"inference": 25000},
                "error": "",
                "code": 0,
            }
        )
    )

    found = await provider.prediction(ID)

    assert odd.received[0].target == f"/api/v3/predictions/{ID}/result"
    assert (found.status, found.raw_status, found.is_final) == (Status.COMPLETED, "completed", True)
    assert found.outputs == ("https://c/1.mp4?s=1", "https://c/2.mp4")
    assert found.has_nsfw
    assert found.created_at == datetime(2026, 11, 20, 8, 0, 0, 948_268, tzinfo=UTC)
    assert found.input == {"image": "https://c/i.jpg"}
    assert (found.execution_ms, found.inference_ms) == (25729, 25000)
    assert (found.error, found.error_code) == ("", None)
    assert "https://c" not in repr(found)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("created", Status.RUNNING),
        ("processing", Status.RUNNING),
        ("in_queue", Status.RUNNING),
        ("completed", Status.COMPLETED),
        ("failed", Status.FAILED),
        ("cancelled", Status.CANCELLED),
        ("canceled", Status.CANCELLED),
        ("timeout", Status.TIMED_OUT),
        ("deleted", Status.DELETED),
    ],
)
async def test_a_status_that_we_do_not_know_counts_as_running(
    odd: OddServer, provider: WaveSpeed, word: str, status: Status
) -> None:
    odd.will(envelope({"id": ID, "status": word}))

    found = await provider.prediction(ID)

    assert (found.status, found.raw_status) == (status, word)


async def test_a_failed_prediction_carries_its_task_code(
    odd: OddServer, provider: WaveSpeed
) -> None:
    odd.will(envelope({"id": ID, "status": "failed", "error": "flagged", "code": 1200}))

    found = await provider.prediction(ID)

    assert (found.status, found.error, found.error_code) == (Status.FAILED, "flagged", 1200)


async def test_a_listing_asks_for_whole_seconds_around_the_span(
    odd: OddServer, provider: WaveSpeed
) -> None:
    odd.will(envelope({"page": 1, "total": 1, "items": [a_row(1)]}))

    page = await provider.predictions(created_after=SINCE, created_before=UNTIL, model=MODEL)

    assert [row.id for row in page.items] == ["row00001"]
    assert odd.received[0].json == {
        "page": 1,
        "page_size": 100,
        "model": MODEL,
        "created_after": "2026-11-20T08:00:00Z",
        "created_before": "2026-11-20T09:00:01Z",
    }


async def test_a_time_without_its_zone_is_refused(provider: WaveSpeed) -> None:
    naive = SINCE.replace(tzinfo=None)

    with pytest.raises(ValueError, match="zone"):
        await provider.predictions(created_after=naive, created_before=UNTIL)


def a_page(*numbers: int, total: int | None = None, **given: JsonValue) -> bytes:
    rows: list[JsonValue] = [a_row(number, **given) for number in numbers]
    return envelope({"items": rows} if total is None else {"items": rows, "total": total})


@pytest.mark.parametrize(
    ("pages", "count", "complete"),
    [
        pytest.param([a_page(total=0)], 0, True, id="nothing"),
        pytest.param([a_page(1, 2, total=3), a_page(3, total=3)], 3, True, id="the total reached"),
        pytest.param([a_page(1, 2), a_page(3), a_page()], 3, True, id="an empty page"),
        pytest.param([a_page(1, 2, total=3), a_page(2, 3, total=3)], 3, True, id="rows that moved"),
        pytest.param([a_page(1, total=3), a_page(total=3)], 1, False, id="rows missing"),
        pytest.param([a_page(1, 2), a_page(1, 2)], 2, False, id="pages that repeat"),
        pytest.param([a_page(1), a_page(2), a_page(3)], 3, False, id="the cap"),
    ],
)
async def test_a_listing_is_complete_only_when_its_end_was_seen(
    odd: OddServer, provider: WaveSpeed, pages: list[bytes], count: int, *, complete: bool
) -> None:
    odd.will(*pages)

    listing = await provider.all_predictions(created_after=SINCE, created_before=UNTIL, pages_max=3)

    assert (len(listing.items), listing.complete) == (count, complete)
    assert not odd.script


@pytest.mark.parametrize("given", [None, {}, "hidden"])
async def test_a_listing_says_when_a_row_hides_its_input(
    odd: OddServer, provider: WaveSpeed, given: JsonValue
) -> None:
    odd.will(a_page(1, total=2), a_page(2, total=2, input=given))

    listing = await provider.all_predictions(created_after=SINCE, created_before=UNTIL)

    assert listing.complete
    assert not listing.rows_carry_input
    assert [row.input is None for row in listing.items] == [False, True]


async def test_a_listing_with_an_unreadable_row_proves_nothing(
    odd: OddServer, provider: WaveSpeed
) -> None:
    odd.will(envelope({"items": [a_row(1), {"status": "created"}], "total": 2}))

    with pytest.raises(errors.MalformedReply):
        await provider.all_predictions(created_after=SINCE, created_before=UNTIL)

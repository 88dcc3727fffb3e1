"""Reservations of all three operations, with real pictures, real sound and stored stories."""

import json
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.generations import repository as generations
from activities.ledger.activities import LedgerActivities
from activities.media.inputs import Inputs
from tests.activities.conftest import EXAMPLES, a_picture
from tests.activities.ledger.conftest import Bank
from workflows.contracts.activities import Close, Reserve
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.media import Role
from workflows.contracts.requests import GenerationRequest, Operation, parse_request
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms

Put = Callable[[Role, bytes | Path], Awaitable[dict[str, str]]]
PAYLOAD_BYTES_MAX = 2_000


@pytest.fixture
def put(inputs: Inputs, tmp_path: Path) -> Put:
    """Store a file of ann's; what a request says of it."""

    async def _put(role: Role, content: bytes | Path) -> dict[str, str]:
        path = content if isinstance(content, Path) else tmp_path / role
        if isinstance(content, bytes):
            path.write_bytes(content)
        return {"media_id": (await inputs.add("ann", path, role)).media_id}

    return _put


def silence(path: Path, duration_s: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * round(duration_s * 8000))
    return path


async def a_scene(put: Put, **asked: object) -> GenerationRequest:
    least: dict[str, object] = {
        "operation": "scene-animation",
        "user_id": "ann",
        "image": await put("image", EXAMPLES / "chelsea.jpg"),
        "scene": {"scene_number": 3, "title": "The lighthouse"},
    }
    return parse_request({**least, **asked})


async def an_avatar(put: Put, **asked: object) -> GenerationRequest:
    least: dict[str, object] = {
        "operation": "talking-avatar",
        "user_id": "ann",
        "image": await put("image", EXAMPLES / "portrait.jpg"),
        "audio": await put("audio", EXAMPLES / "speech.wav"),
    }
    return parse_request({**least, **asked})


async def reserve(
    ledger: LedgerActivities, request: GenerationRequest | None, generation_id: str = "gen_one"
) -> Terms:
    task = Reserve(generation_id=generation_id, request=request)
    return await ActivityEnvironment().run(ledger.reserve, task)


async def refused(ledger: LedgerActivities, request: GenerationRequest | None) -> ApplicationError:
    with pytest.raises(ApplicationError) as ended:
        await reserve(ledger, request)
    assert ended.value.non_retryable
    return ended.value


async def held_by_a_batch(ledger: LedgerActivities, request: GenerationRequest) -> Terms:
    """Claim and hold as a batch does, before its generation's workflow starts."""
    priced = await ledger.admission.price(request)
    async with ledger.pool.acquire() as connection, connection.transaction():
        await generations.claim(connection, "gen_one", request)
        return await ledger.admission.hold(connection, "gen_one", request, priced)


async def row(bank: Bank) -> dict[str, Any]:
    found = await bank.pool.fetchrow("SELECT * FROM generations WHERE generation_id = 'gen_one'")
    assert found is not None
    return dict(found)


async def stages(bank: Bank) -> list[str]:
    query = "SELECT stage FROM events WHERE generation_id = 'gen_one' ORDER BY seq"
    return [each["stage"] for each in await bank.pool.fetch(query)]


async def test_a_scene_is_reserved_by_its_length_and_what_is_avoided_goes_to_the_provider(
    ledger: LedgerActivities, put: Put, bank: Bank
) -> None:
    request = await a_scene(
        put, duration_s=10, guidance_scale=0.0, negative_prompt="people", source="story_writer"
    )

    terms = await reserve(ledger, request)

    assert (terms.operation, terms.source) == (Operation.SCENE_ANIMATION, "story_writer")
    assert (terms.quote.cost_usd_micros, terms.quote.duration_s) == (420_000, 10)
    assert terms.parameters == {"guidance_scale": 0.0, "duration_s": 10}
    assert terms.prompt_characters_max == 2500
    kept = await row(bank)
    assert kept["body"] == {"negative_prompt": "people", "guidance_scale": 0.0, "duration": 10}
    assert kept["inputs"].keys() == {"image"}
    assert kept["operation"] == "scene-animation"
    assert parse_request(kept["request"]) == request
    assert await bank.balance() == (1, 0, 420_000, 0)


@pytest.mark.parametrize(
    ("duration_s", "resolution", "cost", "deadline_s"),
    [
        (0.6, "480p", 150_000, 927),
        (5.0, "480p", 150_000, 1125),
        (7.2, "480p", 240_000, 1224),
        (7.2, "720p", 480_000, 1224),
    ],
)
async def test_an_avatar_is_reserved_by_the_sound_that_was_measured(  # noqa: PLR0913, PLR0917 - columns of the table
    ledger: LedgerActivities,
    put: Put,
    bank: Bank,
    tmp_path: Path,
    duration_s: float,
    resolution: str,
    cost: int,
    deadline_s: int,
) -> None:
    audio = await put("audio", silence(tmp_path / "sound.wav", duration_s))

    terms = await reserve(ledger, await an_avatar(put, audio=audio, resolution=resolution))

    assert terms.quote.duration_s == pytest.approx(duration_s)
    assert (terms.quote.cost_usd_micros, terms.quote.deadline_s) == (cost, deadline_s)
    assert await bank.balance() == (1, 0, cost, 0)


async def test_spoken_sound_of_less_than_five_seconds_is_billed_as_five(
    ledger: LedgerActivities, put: Put
) -> None:
    terms = await reserve(ledger, await an_avatar(put))

    assert terms.quote.duration_s == pytest.approx(4.79, abs=0.01)
    assert terms.quote.cost_usd_micros == 150_000


async def test_sound_of_more_than_ten_minutes_is_refused_and_holds_nothing(
    ledger: LedgerActivities, put: Put, bank: Bank, tmp_path: Path
) -> None:
    audio = await put("audio", silence(tmp_path / "sound.wav", 600.5))

    ended = await refused(ledger, await an_avatar(put, audio=audio))

    assert ended.type == FailureKind.INVALID_MEDIA
    assert "audio: 600.50 s long; allowed: from 0.5 to 600 s." in ended.message
    assert await bank.balance() == (0, 0, 0, 0)


async def test_every_input_of_an_avatar_is_kept_by_its_role(
    ledger: LedgerActivities, put: Put, bank: Bank
) -> None:
    given: dict[str, dict[str, str]] = {
        "mask_image": await put("mask_image", a_picture(300, 300, "PNG")),
        "scene": await put("scene", b'{"title": "The lighthouse"}'),
        "story_context": await put("story_context", b'{"bible": {"tone": "calm"}}'),
    }
    request = await an_avatar(put, seed=7, prompt="She smiles.", **given)

    terms = await reserve(ledger, request)

    wanted = {role: reference["media_id"] for role, reference in given.items()}
    kept = await row(bank)
    assert kept["inputs"].items() >= wanted.items()
    assert kept["inputs"].keys() == wanted.keys() | {"image", "audio"}
    assert kept["body"] == {"seed": 7, "resolution": "480p"}
    assert terms.parameters == {"seed": 7, "resolution": "480p"}


async def test_a_mask_that_the_model_does_not_take_is_refused_by_its_name(
    ledger: LedgerActivities, put: Put
) -> None:
    mask = await put("mask_image", a_picture(100, 100))

    ended = await refused(ledger, await an_avatar(put, mask_image=mask))

    assert "mask_image: 100x100 pixels; allowed: each side from 256" in ended.message


async def test_a_picture_that_is_too_small_for_a_scene_is_refused_with_its_size(
    ledger: LedgerActivities, put: Put
) -> None:
    image = await put("image", a_picture(299, 299))

    ended = await refused(ledger, await a_scene(put, image=image))

    assert "image: 299x299 pixels; allowed: each side from 300" in ended.message


@pytest.mark.parametrize(
    ("role", "stored_as", "content", "told"),
    [
        ("scene", "image", EXAMPLES / "portrait.jpg", "is image; allowed: document."),
        ("story_context", "audio", EXAMPLES / "speech.wav", "is audio; allowed: document."),
        ("scene", "story_context", b'{"tone": "calm"}', "scene: a title, a description or"),
        (
            "scene",
            "story_context",
            b'{"title": "x", "scene_number": -1}',
            "scene.scene_number: Input should be greater",
        ),
    ],
    ids=["a picture", "a sound", "nothing told", "wrong"],
)
async def test_what_is_stored_and_no_scene_or_story_is_refused_before_anything_is_held(  # noqa: PLR0913, PLR0917 - columns of the table
    ledger: LedgerActivities,
    put: Put,
    bank: Bank,
    role: str,
    stored_as: Role,
    content: bytes | Path,
    told: str,
) -> None:
    document = await put(stored_as, content)

    ended = await refused(ledger, await a_scene(put, **{role: document}))

    assert ended.type == FailureKind.INVALID_MEDIA
    assert told in ended.message
    assert await bank.balance() == (0, 0, 0, 0)
    assert await stages(bank) == ["accepted", "reserving"]


async def test_an_avatars_stored_scene_need_not_be_one_that_can_be_animated(
    ledger: LedgerActivities, put: Put
) -> None:
    scene = await put("scene", b'{"narration": "The sea is calm."}')

    terms = await reserve(ledger, await an_avatar(put, scene=scene))

    assert terms.operation is Operation.TALKING_AVATAR


@pytest.mark.parametrize("make", [a_scene, an_avatar])
async def test_the_terms_are_small_and_hold_no_words_of_the_story(
    ledger: LedgerActivities, put: Put, make: Callable[..., Awaitable[GenerationRequest]]
) -> None:
    request = await make(put, story_context={"outline": "x" * 10_000, "persona": "a sailor"})

    terms = await reserve(ledger, request)

    written = terms.model_dump_json()
    assert len(written.encode()) <= PAYLOAD_BYTES_MAX
    assert "sailor" not in written


async def test_keys_that_were_dropped_are_counted_in_the_request_that_is_kept(
    ledger: LedgerActivities, put: Put, bank: Bank
) -> None:
    scene = {"title": "The lighthouse", "colour": "blue", "lines": [{"text": "a", "pause": 1}]}

    await reserve(ledger, await a_scene(put, scene=scene))

    kept = parse_request((await row(bank))["request"]).model_dump(mode="json")
    assert json.dumps(kept).count("unknown_keys") == 2
    assert "blue" not in json.dumps(kept)


async def test_what_a_batch_holds_is_what_its_generation_finds(
    ledger: LedgerActivities, put: Put, bank: Bank
) -> None:
    held = await held_by_a_batch(ledger, await a_scene(put))
    before = await stages(bank)

    found = [await reserve(ledger, None) for _ in range(2)]

    assert found == [held, held]
    assert before == ["accepted"]
    assert await stages(bank) == ["accepted", "reserving", "prompting"]
    assert await bank.balance() == (1, 0, 210_000, 0)
    assert await bank.entries("gen_one") == [("user", "reserve", 0)]


async def test_what_is_claimed_and_not_held_is_held_by_what_stands_in_the_database(
    ledger: LedgerActivities, put: Put, bank: Bank
) -> None:
    request = await an_avatar(put)
    async with bank.pool.acquire() as connection:
        await generations.claim(connection, "gen_one", request)

    terms = await reserve(ledger, None)

    assert terms.quote.cost_usd_micros == 150_000
    assert await bank.balance() == (1, 0, 150_000, 0)
    assert await stages(bank) == ["accepted", "reserving", "prompting"]


async def test_a_claim_of_which_nothing_is_recorded_is_refused(
    ledger: LedgerActivities, bank: Bank
) -> None:
    ended = await refused(ledger, None)

    assert ended.type == FailureKind.INVALID_REQUEST
    assert "no request is recorded under this id" in ended.message
    assert await stages(bank) == []


async def test_what_a_batch_has_given_back_is_not_found_again(
    ledger: LedgerActivities, put: Put, bank: Bank
) -> None:
    await held_by_a_batch(ledger, await a_scene(put))
    told = failure(FailureKind.CANCELLED, "The batch was cancelled.")
    task = Close(generation_id="gen_one", stage=Stage.CANCELLED, failure=told)
    await ActivityEnvironment().run(ledger.close, task)

    ended = await refused(ledger, None)

    assert ended.type == FailureKind.ALREADY_CLOSED
    assert await bank.balance() == (0, 0, 0, 0)

"""Inputs go to the provider under URLs that no other generation has."""

import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from activities.media.inputs import Inputs
from activities.media.nonces import with_nonce
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.staging import Staging
from activities.provider.submissions import StagedUrlTaken
from tests.activities.conftest import (
    EXAMPLES,
    SandboxControl,
    a_generation,
    a_picture,
    stage_of,
)
from tests.activities.submissions.conftest import Desk
from workflows.contracts.media import PROVIDER_ROLES, Role
from workflows.contracts.stages import Stage

Wanted = Callable[..., Awaitable[str]]
DOCUMENT_ROLES: tuple[Role, ...] = ("scene", "story_context")
FORMATS = [
    ("image/jpeg", "JPEG"),
    ("image/png", "PNG"),
    ("image/webp", "WEBP"),
    ("image/bmp", "BMP"),
]


@pytest.fixture
def staging(desk: Desk, store: MediaStore) -> Staging:
    return Staging(desk.pool, store, desk.client, desk.submissions)


@pytest.fixture
def wanted(desk: Desk, store: MediaStore, media_settings: MediaSettings) -> Wanted:
    """Make a generation whose inputs are in the store, not yet at the provider."""
    inputs = Inputs(desk.pool, store, media_settings)

    async def make(generation_id: str = "gen_one", picture: bytes = b"") -> str:
        path = desk.folder / "picture"
        path.write_bytes(picture or a_picture())
        image = await inputs.add("ann", path, "image")
        sound = await inputs.add("ann", EXAMPLES / "speech.wav", "audio")
        return await a_generation(
            desk.pool, generation_id, inputs={"image": image.media_id, "audio": sound.media_id}
        )

    return make


async def content_at(url: str) -> bytes:
    async with httpx.AsyncClient(trust_env=False) as anonymous:
        reply = await anonymous.get(url)
    assert reply.status_code == 200
    return reply.content


async def test_every_input_is_uploaded_and_written_down_with_the_body(
    desk: Desk, staging: Staging, wanted: Wanted
) -> None:
    await wanted()

    assert await staging.stage("gen_one") == 2

    row = await desk.row()
    assert row.payload is not None
    assert row.payload["prompt"] == "a calm sea"
    assert row.payload["duration"] == 5
    assert row.staged_url == row.payload["image"].partition("?")[0]
    assert await content_at(row.payload["image"]) == a_picture()
    assert await content_at(row.payload["audio"]) == (EXAMPLES / "speech.wav").read_bytes()
    assert await stage_of(desk.pool, "gen_one") is Stage.SUBMITTING


async def test_a_mask_is_uploaded_and_a_story_is_not(
    desk: Desk, staging: Staging, store: MediaStore, media_settings: MediaSettings
) -> None:
    inputs = Inputs(desk.pool, store, media_settings)
    files = {"image": a_picture(), "mask_image": a_picture(300, 300, "PNG"), "scene": b"{}"}
    media_ids: dict[str, str] = {}
    for role in PROVIDER_ROLES + DOCUMENT_ROLES:
        path = desk.folder / role
        path.write_bytes(files.get(role, b'{"tone": "calm"}'))
        source = EXAMPLES / "speech.wav" if role == "audio" else path
        media_ids[role] = (await inputs.add("ann", source, role)).media_id
    await a_generation(desk.pool, inputs=media_ids)

    staged = [await staging.stage("gen_one") for _ in range(2)]

    payload = (await desk.row()).payload or {}
    assert staged == [3, 3]
    assert payload.keys() & media_ids.keys() == set(PROVIDER_ROLES)
    assert await content_at(payload["mask_image"]) == files["mask_image"]
    assert len({payload[role] for role in PROVIDER_ROLES}) == 3


async def test_staging_again_uploads_nothing(
    desk: Desk, staging: Staging, wanted: Wanted, sandbox: SandboxControl
) -> None:
    await wanted()
    await staging.stage("gen_one")
    before = (await sandbox.log())["requests"]

    assert await staging.stage("gen_one") == 2

    assert (await sandbox.log())["requests"] == before


@pytest.mark.parametrize(("mime_type", "kind"), FORMATS)
async def test_a_url_that_another_generation_has_is_replaced_by_one_of_other_bytes(
    desk: Desk,
    staging: Staging,
    wanted: Wanted,
    sandbox: SandboxControl,
    mime_type: str,
    kind: str,
) -> None:
    await sandbox.faults(upload={"kind": "deduplicated"})
    picture = a_picture(mime=kind)
    for generation_id in ("gen_one", "gen_two"):
        await wanted(generation_id, picture)

        await staging.stage(generation_id)

    urls = [(await desk.row(each)).payload or {} for each in ("gen_one", "gen_two")]
    first, second = [await content_at(each["image"]) for each in urls]
    assert urls[0]["image"] != urls[1]["image"]
    assert first == picture
    assert second != first
    assert pixels(second) == pixels(first)


async def test_a_provider_that_gives_one_url_for_everything_is_given_up(
    desk: Desk, staging: Staging, wanted: Wanted
) -> None:
    await wanted("gen_one")
    await wanted("gen_two")
    await staging.stage("gen_one")
    taken = (await desk.row("gen_one")).staged_url
    await desk.pool.execute(
        "CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN NEW.staged_url := '{taken}'; RETURN NEW; END $$;"
        "CREATE TRIGGER same BEFORE INSERT ON submissions FOR EACH ROW EXECUTE FUNCTION same()"
    )

    with pytest.raises(StagedUrlTaken):
        await staging.stage("gen_two")

    assert await desk.submissions.read("gen_two") is None


@pytest.mark.parametrize(("mime_type", "kind"), FORMATS)
@given(nonce=st.text("0123456789abcdef", min_size=1, max_size=64))
def test_a_nonce_changes_the_bytes_and_no_pixel(mime_type: str, kind: str, nonce: str) -> None:
    picture = a_picture(40, 30, kind)

    marked = with_nonce(picture, mime_type, nonce)

    assert marked != picture
    assert nonce.encode() in marked
    assert pixels(marked) == pixels(picture)


def test_a_nonce_leaves_the_orientation_of_a_photograph(tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(a_picture(40, 30)))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    turned = (tmp_path / "turned.jpg").read_bytes()

    marked = with_nonce(turned, "image/jpeg", "0123456789abcdef")

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(marked)))
    assert upright.size == (30, 40)


def test_there_is_no_place_for_a_nonce_in_sound() -> None:
    with pytest.raises(ValueError, match="audio/wav"):
        with_nonce(b"RIFF", "audio/wav", "00")


def pixels(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        return image.tobytes()

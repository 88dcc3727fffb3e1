import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from activities.media.errors import (
    Damaged,
    ManyFrames,
    MediaInvalid,
    NotAnImage,
    TooLarge,
    TooManyPixels,
    Truncated,
)
from tests.activities.media.measured import inspect_image

Write = Callable[[str, bytes], Path]


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.effect_noise((width, height), 50).convert("RGB")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image_format", "mime_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("BMP", "image/bmp")],
)
def test_each_taken_format_is_measured(write: Write, image_format: str, mime_type: str) -> None:
    data = encoded(noise(64, 48), image_format)

    facts = inspect_image(write("picture", data))

    assert (facts.mime_type, facts.width, facts.height) == (mime_type, 64, 48)
    assert facts.size_bytes == len(data)
    assert not facts.has_alpha


def test_the_sample_portrait_has_its_known_size_and_hash(examples: Path) -> None:
    facts = inspect_image(examples / "portrait.jpg")

    assert (facts.width, facts.height) == (512, 512)
    assert facts.sha256 == "370adb9cb9dd03ca911ea316fb227495e01095398bc1f71188a3995209b9c81a"


@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (3, (64, 48)), (6, (48, 64))])
def test_a_photo_on_its_side_is_measured_as_a_person_sees_it(
    write: Write, orientation: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encoded(noise(64, 48), "JPEG", exif=exif)

    facts = inspect_image(write("photo.jpg", data))

    assert (facts.width, facts.height) == size


def test_a_picture_with_an_alpha_channel_or_a_transparent_colour_has_alpha(write: Write) -> None:
    channel = encoded(noise().convert("RGBA"), "PNG")
    colour = encoded(noise().convert("P"), "PNG", transparency=0)
    web = encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "WEBP")

    assert inspect_image(write("channel.png", channel)).has_alpha
    assert inspect_image(write("colour.png", colour)).has_alpha
    assert inspect_image(write("web.webp", web)).has_alpha


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_cut_picture_is_refused_with_its_name(
    write: Write, image_format: str, share: float
) -> None:
    data = encoded(noise(), image_format)
    path = write(f"cut.{image_format.lower()}", data[: int(len(data) * share)])

    with pytest.raises(Truncated, match=rf"^cut\.{image_format.lower()} is cut short"):
        inspect_image(path)


def test_a_png_with_a_hole_is_damaged_and_not_cut(write: Write) -> None:
    data = bytearray(encoded(noise(), "PNG"))
    data[200:300] = bytes(100)

    with pytest.raises(Damaged, match=r"^hole\.png is damaged"):
        inspect_image(write("hole.png", bytes(data)))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("page.jpg", b"<!doctype html><title>404</title>", "is a web page"),
        ("empty.png", b"", "is empty"),
        ("noise.png", bytes(range(256)), "is not a picture"),
        ("anim.gif", encoded(noise(), "GIF"), "is not a picture in a format that is taken"),
        ("scan.tif", encoded(noise(), "TIFF"), "is not a picture in a format that is taken"),
    ],
)
def test_what_is_no_picture_of_a_taken_format_is_refused(
    write: Write, name: str, data: bytes, reason: str
) -> None:
    with pytest.raises(NotAnImage) as caught:
        inspect_image(write(name, data))

    assert str(caught.value).startswith(f"{name} {reason}")
    assert str(caught.value).endswith("allowed: one complete JPEG, PNG, WebP or BMP picture")


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (10_000, 9_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_by_the_header(write: Write, width: int, height: int) -> None:
    with pytest.raises(TooManyPixels, match="allowed: at most 64,000,000 pixels"):
        inspect_image(write("bomb.png", png_header(width, height)))


def test_as_many_pixels_as_allowed_are_not_too_many(write: Write) -> None:
    with pytest.raises(MediaInvalid) as caught:
        inspect_image(write("empty.png", png_header(8000, 8000)))

    assert not isinstance(caught.value, TooManyPixels)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_an_animation_is_refused_since_no_one_knows_which_frame_is_meant(
    write: Write, image_format: str
) -> None:
    data = encoded(noise(), image_format, save_all=True, append_images=[noise(), noise()])

    with pytest.raises(ManyFrames, match="is an animation of 3 frames"):
        inspect_image(write("moving", data))


def test_a_phone_photo_with_a_second_picture_counts_as_its_first(write: Write) -> None:
    data = encoded(noise(64, 48), "MPO", save_all=True, append_images=[noise(32, 24)])

    facts = inspect_image(write("phone.jpg", data))

    assert (facts.mime_type, facts.width, facts.height) == ("image/jpeg", 64, 48)


def test_a_file_over_the_size_limit_is_refused_with_both_numbers(examples: Path) -> None:
    with pytest.raises(TooLarge, match="has 74,962 bytes; allowed: at most 74,961 bytes"):
        inspect_image(examples / "portrait.jpg", size_bytes_max=74_961)


def test_a_refusal_never_shows_the_machines_path_or_control_characters(write: Write) -> None:
    path = write("\x1b[31m" + "x" * 200, b"")

    with pytest.raises(NotAnImage) as caught:
        inspect_image(path)

    assert str(path.parent) not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(caught.value.what) == 80


def test_a_missing_file_is_the_callers_mistake_not_an_invalid_image(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect_image(tmp_path / "nowhere.png")

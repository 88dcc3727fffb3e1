from collections.abc import Callable
from pathlib import Path

import pytest

from activities.media.containers import (
    AAC,
    FLAC,
    MP3,
    MP4,
    OGG,
    WAV,
    WEBM,
    ContainerFormat,
    Undecodable,
    boxes_size_bytes,
    opened,
    sniff,
)

Write = Callable[[str, bytes], Path]
ID3 = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"RIFF\0\0\0\0WAVE", WAV),
        (b"RF64\0\0\0\0WAVE", WAV),
        (b"RIFF\0\0\0\0WEBP", None),
        (b"OggS\0", OGG),
        (b"fLaC\0", FLAC),
        (b"\0\0\0\x20ftypM4A ", MP4),
        (b"\x1aE\xdf\xa3", WEBM),
        (b"\xff\xfb\x90", MP3),
        (b"\xff\xf1\x50", AAC),
        (ID3 + b"\xff\xfb\x90", MP3),
        (ID3 + b"\xff\xf1\x50", AAC),
        (ID3 + b"fLaC", FLAC),
        (ID3[:20], MP3),
        (b"", None),
        (b"\xff", None),
        (b"#EXTM3U", None),
        (b"ffconcat version 1.0", None),
    ],
)
def test_a_format_is_told_by_its_first_bytes(
    write: Write, head: bytes, form: ContainerFormat | None
) -> None:
    assert sniff(write("file", head)) == form


def test_a_file_is_read_by_the_demuxer_of_its_form_alone(a_sound: Callable[..., Path]) -> None:
    path = a_sound("sound.flac", "flac")

    with pytest.raises(Undecodable), opened(path, MP4):
        pass
    with opened(path, FLAC) as container:
        assert container.format.name == "flac"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\0\0\0\x0cftypisom" + b"\0\0\0\x08mdat", 20),
        (b"\0\0\0\x01mdat" + (40).to_bytes(8) + bytes(24), 40),
        (b"\0\0\0\x01mdat" + (400).to_bytes(8) + bytes(24), 400),
        (b"\0\0\0\x0cftypisom" + b"\0\0\0\0mdat" + bytes(12), 32),
        (b"\0\0\0\x0cftypisom" + b"\0\0\0\x64mdat", 112),
        (b"\0\0\0\x0cftypisom" + b"\0\0\0", None),
        (b"\0\0\0\x07ftypisom", None),
        (b"\0\0\0\x01mdat" + (15).to_bytes(8), None),
        (b"\0\0\0\x01mdat" + (0).to_bytes(8), None),
    ],
)
def test_boxes_say_how_long_a_file_should_be(
    write: Write, data: bytes, expected: int | None
) -> None:
    assert boxes_size_bytes(write("file.mp4", data)) == expected


def test_a_small_file_whose_boxes_claim_a_terabyte_is_measured_at_once(write: Write) -> None:
    data = b"\0\0\0\x01mdat" + (1 << 40).to_bytes(8)

    assert boxes_size_bytes(write("file.mp4", data)) == 1 << 40

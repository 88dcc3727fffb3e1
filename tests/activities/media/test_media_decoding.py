import asyncio
import contextlib
import os
import signal
import struct
import sys
import textwrap
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.media.decoding import inspect, inspect_with_poster
from activities.media.errors import (
    DecoderCrashed,
    DecodingTimedOut,
    NotAudio,
    Truncated,
    VideoCorrupt,
)
from activities.media.settings import MediaSettings
from tests.activities.media.measured import inspect_image, inspect_video

Video = Callable[..., Path]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file that never answers: whoever opens it waits for a writer that never comes."""
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    return path


async def the_child_reading(path: Path) -> int:
    """Waits until a decoding process has been started for the path; its process id."""
    while not (found := decoders_of(path)):  # /proc gives no event.
        await asyncio.sleep(0.01)
    return found[0]


def decoders_of(path: Path) -> list[int]:
    found: list[int] = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"activities.media.decoder" in command and os.fsencode(path) in command:
                found.append(int(process.name))
    return found


async def gone(pid: int) -> None:
    """Waits until a process has ended."""
    while True:
        try:
            status = (Path("/proc") / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return
        if status.rpartition(")")[2].split()[0] == "Z":
            return
        await asyncio.sleep(0.01)


async def test_the_child_gives_the_facts_that_the_direct_function_gives(
    examples: Path, a_video: Video, media_settings: MediaSettings
) -> None:
    portrait, video = examples / "portrait.jpg", a_video()

    assert await inspect("image", portrait, media_settings) == inspect_image(portrait)
    assert await inspect("video", video, media_settings) == inspect_video(video)
    assert (await inspect("audio", examples / "speech.wav", media_settings)).sample_rate == 22050


async def test_a_poster_is_made_by_the_same_child(
    a_video: Video, tmp_path: Path, media_settings: MediaSettings
) -> None:
    video, out = a_video(), tmp_path / "p.webp"

    facts, poster = await inspect_with_poster(video, out, media_settings)

    assert facts == inspect_video(video)
    assert poster == inspect_image(out)


async def test_a_whole_video_is_not_refused_for_its_poster(
    a_video: Video, tmp_path: Path, media_settings: MediaSettings
) -> None:
    video, out = a_video(), tmp_path / "no folder" / "p.jpg"

    facts, poster = await inspect_with_poster(video, out, media_settings)

    assert facts == inspect_video(video)
    assert poster is None


async def test_a_poster_of_another_format_is_a_mistake_of_the_caller(
    a_video: Video, tmp_path: Path, media_settings: MediaSettings
) -> None:
    with pytest.raises(ValueError, match=r"a poster is \.jpg, \.webp, not '\.gif'"):
        await inspect_with_poster(a_video(), tmp_path / "p.gif", media_settings)


async def test_a_refusal_leaves_the_child_as_the_same_error(
    examples: Path, tmp_path: Path, media_settings: MediaSettings
) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((examples / "portrait.jpg").read_bytes()[:5000])

    with pytest.raises(Truncated) as caught:
        await inspect("image", cut, media_settings)
    with pytest.raises(Truncated) as direct:
        inspect_image(cut)
    with pytest.raises(NotAudio):
        await inspect("audio", cut, media_settings)
    with pytest.raises(VideoCorrupt):
        await inspect("video", cut, media_settings)

    assert str(caught.value) == str(direct.value)


async def test_a_refused_video_leaves_no_poster(
    examples: Path, tmp_path: Path, media_settings: MediaSettings
) -> None:
    out = tmp_path / "p.jpg"
    out.write_bytes(b"old")

    with pytest.raises(VideoCorrupt):
        await inspect_with_poster(examples / "portrait.jpg", out, media_settings)

    assert not out.exists()


async def test_a_decoder_that_takes_too_long_is_killed(
    pipe: Path, media_settings: MediaSettings
) -> None:
    settings = media_settings.model_copy(update={"decode_timeout_s": 2.0})
    decoding = asyncio.create_task(inspect("image", pipe, settings))
    child = await the_child_reading(pipe)
    os.kill(child, signal.SIGSTOP)  # It can't end by itself any more.

    with pytest.raises(DecodingTimedOut, match=r"pipe\.png took longer than 2\.0 s"):
        await decoding

    await gone(child)


async def test_a_cancelled_inspection_kills_its_decoder(
    pipe: Path, media_settings: MediaSettings
) -> None:
    decoding = asyncio.create_task(inspect("image", pipe, media_settings))
    child = await the_child_reading(pipe)
    os.kill(child, signal.SIGSTOP)

    decoding.cancel()

    with pytest.raises(asyncio.CancelledError):
        await decoding
    await gone(child)


async def test_a_decoder_that_dies_is_a_crash_and_names_the_signal(
    pipe: Path, media_settings: MediaSettings
) -> None:
    decoding = asyncio.create_task(inspect("image", pipe, media_settings))

    os.kill(await the_child_reading(pipe), signal.SIGSEGV)

    with pytest.raises(DecoderCrashed, match=r"pipe\.png ended with SIGSEGV"):
        await decoding


async def test_a_decoder_over_its_cpu_limit_took_too_long(
    pipe: Path, media_settings: MediaSettings
) -> None:
    decoding = asyncio.create_task(inspect("image", pipe, media_settings))

    os.kill(await the_child_reading(pipe), signal.SIGXCPU)

    with pytest.raises(DecodingTimedOut):
        await decoding


async def test_a_decoder_that_works_on_for_ever_is_stopped_by_its_cpu_limit(
    tmp_path: Path,
) -> None:
    program = (
        "from activities.media.decoder import limit_process; limit_process(1, 2**31, 0)\n"
        "while True: pass"
    )

    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)

    assert await process.wait() == -signal.SIGXCPU


async def test_a_decoder_loads_nothing_but_what_it_decodes_with() -> None:
    program = (
        "import sys\n"
        "from activities.media import audio, decoder, images, videos\n"
        "print({'asyncio', 'asyncpg', 'httpx', 'pydantic', 'temporalio'} & {*sys.modules})"
    )

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", program), stdout=asyncio.subprocess.PIPE
    )

    assert (await process.communicate())[0] == b"set()\n"


async def test_a_decoder_ends_with_its_parent(pipe: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, pathlib, sys
        from activities.media.decoding import inspect
        from activities.media.settings import MediaSettings

        settings = MediaSettings(media_url="file:///nowhere")
        asyncio.run(inspect("image", pathlib.Path(sys.argv[1]), settings))
    """)
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(pipe))
    child = await the_child_reading(pipe)

    parent.kill()

    await parent.wait()
    await gone(child)


async def test_a_decoder_inherits_no_secrets(
    pipe: Path, media_settings: MediaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "a-secret")
    decoding = asyncio.create_task(inspect("image", pipe, media_settings))

    environment = (Path("/proc") / str(await the_child_reading(pipe)) / "environ").read_bytes()

    decoding.cancel()
    await asyncio.gather(decoding, return_exceptions=True)
    assert b"LANG=C.UTF-8" in environment
    assert b"secret" not in environment
    assert b"PATH=" not in environment


async def test_a_picture_that_needs_more_memory_than_allowed_ends_only_its_decoder(
    tmp_path: Path, media_settings: MediaSettings
) -> None:
    settings = media_settings.model_copy(update={"decode_memory_bytes_max": 256 * 1024**2})
    path = tmp_path / "wide.png"
    path.write_bytes(a_grey_png(8000, 8000))

    with pytest.raises(DecoderCrashed, match=r"wide\.png took more than 268,435,456 bytes"):
        await inspect("image", path, settings)


async def test_a_missing_file_is_a_crash_whose_message_has_no_path(
    tmp_path: Path, media_settings: MediaSettings
) -> None:
    with pytest.raises(DecoderCrashed) as caught:
        await inspect("image", tmp_path / "nowhere.png", media_settings)

    assert str(caught.value) == "decoding nowhere.png ended with exit code 1"
    assert "FileNotFoundError" in caught.value.diagnostics
    assert len(caught.value.diagnostics) <= 4096


def a_grey_png(width: int, height: int) -> bytes:
    """Four channels of eight bits, all of it zero: small as a file, large in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(1)
    row = bytes(1 + width * 4)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

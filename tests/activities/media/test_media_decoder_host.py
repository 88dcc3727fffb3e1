"""Decoders that are forked from a host keep every promise of those that are started anew."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from activities.media import decoder_forks
from activities.media.decoder_forks import HOST_PAUSE_S
from activities.media.decoder_processes import Decoders
from activities.media.decoding import inspect, inspect_with_poster
from activities.media.errors import DecoderCrashed, DecodingTimedOut, VideoCorrupt
from activities.media.settings import MediaSettings
from tests.activities.media.measured import inspect_image, inspect_video

Video = Callable[..., Path]
STANDARD = {0, 1, 2}
HOST = b"activities.media.decoder_host"
NO_HOSTS = {
    "its program is missing": ("/nowhere/host",),
    "it ends at once": (sys.executable, "-c", "raise SystemExit(1)"),
    "it never answers": (sys.executable, "-c", "import time; time.sleep(600)"),
}


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def decoders(clock: Clock) -> AsyncIterator[Decoders]:
    async with Decoders(clock=clock) as decoders:
        yield decoders


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file that never answers: whoever opens it waits for a writer that never comes."""
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    return path


def stat_of(pid: int) -> tuple[str, int]:
    """State and parent of a process; a dead one is a zombie without a parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return "Z", 0
    state, parent, *_ = stat.rpartition(")")[2].split()
    return state, int(parent)


def children_of(pid: int) -> list[int]:
    everyone = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return [each for each in everyone if stat_of(each)[1] == pid and stat_of(each)[0] != "Z"]


def descriptors_of(pid: int) -> set[int]:
    return {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}


def is_host(pid: int) -> bool:
    return HOST in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def our_hosts() -> list[int]:
    return [each for each in children_of(os.getpid()) if is_host(each)]


async def only_child_of(pid: int) -> int:
    """Waits until a process has a child."""
    while not (found := children_of(pid)):  # /proc gives no event.
        await asyncio.sleep(0.01)
    return found[0]


async def the_child() -> int:
    """Waits until a host of ours has forked a decoder; the decoder's process id."""
    while not (hosts := our_hosts()):
        await asyncio.sleep(0.01)
    return await only_child_of(hosts[0])


async def gone(pid: int) -> None:
    while stat_of(pid)[0] != "Z":
        await asyncio.sleep(0.01)


async def test_forked_decoders_give_the_same_facts_and_posters(
    decoders: Decoders, a_video: Video, tmp_path: Path, media_settings: MediaSettings
) -> None:
    video = a_video()
    posters = [tmp_path / f"{number}.jpg" for number in range(3)]

    looks = [
        inspect_with_poster(video, each, media_settings, start=decoders.start) for each in posters
    ]
    seen = await asyncio.gather(*looks)

    assert [facts for facts, _ in seen] == [inspect_video(video)] * 3
    assert [poster for _, poster in seen] == [inspect_image(each) for each in posters]


async def test_a_refusal_and_a_crash_leave_the_host_to_the_next_file(
    decoders: Decoders,
    a_video: Video,
    examples: Path,
    tmp_path: Path,
    media_settings: MediaSettings,
) -> None:
    video, out = a_video(), tmp_path / "p.jpg"

    with pytest.raises(VideoCorrupt):
        await inspect_with_poster(
            examples / "portrait.jpg", out, media_settings, start=decoders.start
        )
    with pytest.raises(DecoderCrashed) as caught:
        await inspect_with_poster(tmp_path / "none.mp4", out, media_settings, start=decoders.start)
    facts, _ = await inspect_with_poster(video, out, media_settings, start=decoders.start)

    assert "FileNotFoundError" in caught.value.diagnostics
    assert facts == inspect_video(video)


async def test_a_forked_decoder_that_takes_too_long_is_killed(
    decoders: Decoders, pipe: Path, media_settings: MediaSettings
) -> None:
    settings = media_settings.model_copy(update={"decode_timeout_s": 2.0})
    decoding = asyncio.create_task(inspect("image", pipe, settings, start=decoders.start))
    child = await the_child()
    os.kill(child, signal.SIGSTOP)  # It can't end by itself any more.

    with pytest.raises(DecodingTimedOut):
        await decoding

    assert stat_of(child)[0] == "Z"


async def test_a_cancelled_inspection_kills_its_forked_decoder(
    decoders: Decoders, pipe: Path, media_settings: MediaSettings
) -> None:
    decoding = asyncio.create_task(inspect("image", pipe, media_settings, start=decoders.start))
    child = await the_child()
    os.kill(child, signal.SIGSTOP)

    decoding.cancel()

    with pytest.raises(asyncio.CancelledError):
        await decoding
    assert stat_of(child)[0] == "Z"


async def test_a_forked_decoder_that_dies_names_its_signal(
    decoders: Decoders, pipe: Path, media_settings: MediaSettings
) -> None:
    decoding = asyncio.create_task(inspect("image", pipe, media_settings, start=decoders.start))

    os.kill(await the_child(), signal.SIGSEGV)

    with pytest.raises(DecoderCrashed, match="SIGSEGV"):
        await decoding


async def test_a_host_that_dies_takes_its_decoders_with_it_and_another_one_starts_later(
    decoders: Decoders,
    clock: Clock,
    pipe: Path,
    a_video: Video,
    tmp_path: Path,
    media_settings: MediaSettings,
) -> None:
    video, out = a_video(), tmp_path / "p.jpg"
    decoding = asyncio.create_task(inspect("image", pipe, media_settings, start=decoders.start))
    child = await the_child()

    os.kill(stat_of(child)[1], signal.SIGKILL)

    with pytest.raises(DecoderCrashed, match="SIGKILL"):
        await decoding
    await gone(child)
    at_once, _ = await inspect_with_poster(video, out, media_settings, start=decoders.start)
    hosts_at_once = our_hosts()
    clock.now_s += HOST_PAUSE_S
    later, _ = await inspect_with_poster(video, out, media_settings, start=decoders.start)
    assert at_once == later == inspect_video(video)
    assert (hosts_at_once, len(our_hosts())) == ([], 1)


@pytest.mark.parametrize("host", NO_HOSTS.values(), ids=NO_HOSTS)
async def test_without_a_host_each_video_has_a_process_of_its_own_and_that_is_said_once(
    host: tuple[str, ...],
    a_video: Video,
    tmp_path: Path,
    media_settings: MediaSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoder_forks, "FORKED_WITHIN_S", 0.5)
    video, clock = a_video(), Clock()
    posters = [tmp_path / f"{number}.jpg" for number in range(4)]

    with capture_logs() as logged:
        async with Decoders(host=host, clock=clock) as decoders:
            looks = [
                inspect_with_poster(video, each, media_settings, start=decoders.start)
                for each in posters[:3]
            ]
            seen = await asyncio.gather(*looks)
            clock.now_s += HOST_PAUSE_S
            seen.append(
                await inspect_with_poster(video, posters[3], media_settings, start=decoders.start)
            )

    assert [facts for facts, _ in seen] == [inspect_video(video)] * 4
    assert [poster for _, poster in seen] == [inspect_image(each) for each in posters]
    assert [each["log_level"] for each in logged] == ["warning"]


async def test_a_host_that_failed_is_left_alone_for_a_minute_and_used_again_once_it_works(
    a_video: Video, tmp_path: Path, media_settings: MediaSettings
) -> None:
    video, clock = a_video(), Clock()
    starts, mended = tmp_path / "starts", tmp_path / "mended"
    script = (
        f"echo one >> {starts}; test -e {mended} && exec {sys.executable} -I -m {HOST.decode()}"
    )

    with capture_logs() as logged:
        async with Decoders(host=("/bin/sh", "-c", script), clock=clock) as decoders:

            async def decoded_after(pause_s: float) -> int:
                clock.now_s += pause_s
                await inspect("video", video, media_settings, start=decoders.start)
                return len(starts.read_text("utf-8").split())

            counts = [await decoded_after(0), await decoded_after(HOST_PAUSE_S - 1)]
            mended.touch()
            counts += [await decoded_after(1), await decoded_after(0)]
            hosts = our_hosts()

    assert counts == [1, 1, 2, 2]
    assert len(hosts) == 1
    assert [each["log_level"] for each in logged] == ["warning", "info"]


async def test_a_forked_decoder_has_neither_secrets_nor_descriptors_of_others(
    decoders: Decoders,
    pipe: Path,
    tmp_path: Path,
    media_settings: MediaSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "a-secret")
    both = [
        asyncio.create_task(inspect("image", pipe, media_settings, start=decoders.start))
        for _ in range(2)
    ]
    child = await the_child()
    async with asyncio.timeout(10):
        while (found := descriptors_of(child)) != STANDARD:
            await asyncio.sleep(0.01)

    environment = Path(f"/proc/{child}/environ").read_bytes()

    for each in both:
        each.cancel()
    await asyncio.gather(*both, return_exceptions=True)
    assert b"LANG=C.UTF-8" in environment
    assert b"secret" not in environment
    assert found == STANDARD


async def test_host_and_decoders_end_with_their_worker(pipe: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, pathlib, sys
        from activities.media.decoder_processes import Decoders
        from activities.media.decoding import inspect
        from activities.media.settings import MediaSettings

        async def main():
            path, settings = pathlib.Path(sys.argv[1]), MediaSettings(media_url="file:///nowhere")
            start = Decoders().start
            await inspect("image", path, settings, start=start)

        asyncio.run(main())
    """)
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(pipe))
    host = await only_child_of(parent.pid)
    child = await only_child_of(host)

    parent.kill()

    await parent.wait()
    await gone(host)
    await gone(child)

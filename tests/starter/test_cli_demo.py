"""`demo`: a video by every operation from nothing, the same again for nothing, no process left."""

import asyncio
import shutil
import signal
import wave
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest

from tests.starter.conftest import ROOT, Cli, Ran, Stack, run_cli, start_cli

WAIT_S = 60.0


def processes_of(folder: Path) -> list[str]:
    """Commands that name the folder, and servers that have it as their own."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if entry.name.isdecimal() and str(folder) in command:
            found.append(command.replace("\0", " "))
    return found


async def all_ended(folder: Path) -> None:
    """Wait until no process of the folder is left; fails when one stays."""
    async with asyncio.timeout(WAIT_S):
        while processes_of(folder):
            await asyncio.sleep(0.1)


class Film(NamedTuple):
    """What an MP4 is, by decoding it."""

    codec: str
    short_side_px: int
    seconds: float
    sound_s: float


def film(path: Path) -> Film:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec, sides = stream.codec_context.name, (stream.width, stream.height)
        rate = stream.average_rate
        assert rate is not None
        frames = sum(1 for _ in container.decode(stream))
    with av.open(str(path)) as container:
        sounds = container.decode(audio=0) if container.streams.audio else []
        sound_s = sum(frame.samples / frame.sample_rate for frame in sounds)
    return Film(codec, min(sides), float(frames / rate), sound_s)


def spoken_s() -> float:
    with wave.open(str(ROOT / "examples" / "speech.wav")) as speech:
        return speech.getnframes() / speech.getframerate()


def by_name(ran: Ran) -> dict[str, dict[str, Any]]:
    return {Path(video["file"]).name: video for video in ran.json["videos"]}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_demo_leaves_a_video_by_every_operation_and_a_second_one_makes_none(
    tmp_path: Path,
) -> None:
    to, data_dir = tmp_path / "out", tmp_path / "data"
    words = ("demo", "--to", str(to), "--data-dir", str(data_dir), "-o", "json")
    # Keys of daily work must not reach the stack of the demo.
    real = {
        "WAVESPEED_API_KEY": "wsk-real",
        "WAVESPEED_BASE_URL": "http://127.0.0.1:1/api/v3",
        "OPENAI_API_KEY": "sk-real",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    }

    first: Ran = await run_cli(*words, **real)
    await all_ended(data_dir)
    second: Ran = await run_cli(*words, **real)
    await all_ended(data_dir)

    assert (first.code, second.code) == (0, 0), first
    videos = by_name(first)
    films = {path.name: film(path) for path in to.iterdir()}
    assert {name: one["operation"] for name, one in videos.items()} == {
        "image-to-video-kandinsky.mp4": "image-to-video",
        "image-to-video-wan.mp4": "image-to-video",
        "scene-animation.mp4": "scene-animation",
        "talking-avatar.mp4": "talking-avatar",
    }
    told = {name: (one["prompt_by"], one["source"]) for name, one in videos.items()}
    assert told == {
        "image-to-video-kandinsky.mp4": ("caller", "video_studio"),
        "image-to-video-wan.mp4": ("caller", "image_studio"),
        "scene-animation.mp4": ("llm", "story_writer"),
        "talking-avatar.mp4": ("rule", "podcast_maker"),
    }
    assert {one.codec for one in films.values()} == {"h264"}
    assert {name: one.short_side_px for name, one in films.items()} == {
        "image-to-video-kandinsky.mp4": 512,
        "image-to-video-wan.mp4": 720,
        "scene-animation.mp4": 720,
        "talking-avatar.mp4": 480,
    }
    assert films["image-to-video-wan.mp4"].seconds == pytest.approx(5, abs=0.1)
    assert films["image-to-video-kandinsky.mp4"].seconds == pytest.approx(5, abs=0.1)
    assert films["scene-animation.mp4"].seconds == pytest.approx(10, abs=0.1)
    assert films["talking-avatar.mp4"].seconds == pytest.approx(spoken_s(), abs=0.1)
    assert films["talking-avatar.mp4"].sound_s == pytest.approx(spoken_s(), abs=0.1)
    assert videos["talking-avatar.mp4"]["audio_s"] == pytest.approx(spoken_s(), abs=0.1)
    assert videos["scene-animation.mp4"]["audio_s"] is None
    ids = {name: one["generation_id"] for name, one in videos.items()}
    assert {name: one["generation_id"] for name, one in by_name(second).items()} == ids
    assert second.json["page"] == first.json["page"]
    assert f"The page had them at {first.json['page']}" in second.err
    again = (f"stillmotion {verb} --data-dir {data_dir}" for verb in ("dev", "open"))
    assert f"Look at them again: {', and beside it '.join(again)}" in second.err


async def test_the_demo_tells_what_is_not_as_it_was_asked_for(stack: Stack, cli: Cli) -> None:
    smaller = [{"kind": "other_size"}, {"kind": "other_duration"}]

    async with stack.faults({"output": smaller}):
        ran = await cli("demo", "--to", str(stack.data_dir / "demo"), "-o", "json")

    assert ran.code == 1
    videos = by_name(ran)
    spoken = f"{spoken_s():.2f} s"
    assert videos["scene-animation.mp4"]["problems"] == [
        "1.00 s, not 10.00 s",
        "320x180, not 720p",
    ]
    heard, *others = videos["talking-avatar.mp4"]["problems"]
    assert heard.endswith(f" s of sound, not {spoken}")
    assert others == [f"1.00 s, not {spoken}", "320x180, not 480p"]
    assert "scene-animation.mp4: 1.00 s, not 10.00 s" in ran.err


async def test_a_demo_with_other_samples_makes_what_is_new_and_finds_the_rest(
    stack: Stack, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    scene = tmp_path / "examples" / "scene.json"
    words = ("demo", "--to", str(tmp_path / "out"), "-o", "json")

    async with stack.faults({"output": [{"kind": "other_size"}, {"kind": "other_duration"}]}):
        first = by_name(await cli(*words))
        monkeypatch.chdir(tmp_path)
        scene.write_text(scene.read_text("utf-8").replace("Biscuit", "Toast"), "utf-8")
        second = by_name(await cli(*words))

    new = {name for name in first if first[name]["generation_id"] != second[name]["generation_id"]}
    assert new == {"scene-animation.mp4", "talking-avatar.mp4"}


@pytest.mark.slow
async def test_a_demo_that_is_killed_takes_its_stack_with_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    process = await start_cli("demo", "--to", str(tmp_path / "o"), "--data-dir", str(data_dir))
    assert process.stderr is not None
    while b"accepted" not in await process.stderr.readline():
        pass

    process.send_signal(signal.SIGKILL)
    await process.wait()

    await all_ended(data_dir)


async def test_a_demo_outside_the_repository_says_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starter.cli import samples
    from starter.cli.refusals import Usage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(samples, "__file__", str(tmp_path / "a" / "b" / "demo.py"))

    with pytest.raises(Usage, match="run it in the repository"):
        samples.examples_folder()

    monkeypatch.chdir(ROOT)
    assert samples.examples_folder() == ROOT / "examples"

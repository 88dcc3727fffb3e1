"""`demo`: two videos from nothing, the same two again for nothing, and no process left behind."""

import asyncio
import signal
from pathlib import Path

import av
import pytest

from tests.starter.conftest import ROOT, Ran, run_cli, start_cli

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


@pytest.mark.slow
async def test_the_demo_leaves_two_videos_and_a_second_one_makes_none(tmp_path: Path) -> None:
    to, data_dir = tmp_path / "out", tmp_path / "data"
    words = ("demo", "--to", str(to), "--data-dir", str(data_dir), "-o", "json")
    # A key of daily work must not reach the stack of the demo.
    real = {"WAVESPEED_API_KEY": "wsk-real", "WAVESPEED_BASE_URL": "http://127.0.0.1:1/api/v3"}

    first: Ran = await run_cli(*words, **real)
    await all_ended(data_dir)
    second: Ran = await run_cli(*words, **real)
    await all_ended(data_dir)

    assert (first.code, second.code) == (0, 0), first
    videos = {Path(video["file"]).name: video for video in first.json["videos"]}
    assert sorted(videos) == ["image-to-video-kandinsky.mp4", "image-to-video-wan.mp4"]
    sizes = {name: (video["width"], video["height"]) for name, video in videos.items()}
    assert sizes["image-to-video-wan.mp4"] == (1080, 720)
    assert min(sizes["image-to-video-kandinsky.mp4"]) == 512
    for path in to.iterdir():
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            assert float(container.duration or 0) / av.time_base == pytest.approx(5, abs=0.1)
    ids = [video["generation_id"] for video in first.json["videos"]]
    assert [video["generation_id"] for video in second.json["videos"]] == ids
    assert f"stillmotion dev --data-dir {data_dir}" in second.err


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
    from starter.cli import demo
    from starter.cli.refusals import Usage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "a" / "b" / "demo.py"))

    with pytest.raises(Usage, match="run it in the repository"):
        demo.examples_folder()

    monkeypatch.chdir(ROOT)
    assert demo.examples_folder() == ROOT / "examples"

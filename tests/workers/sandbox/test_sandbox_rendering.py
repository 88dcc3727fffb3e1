"""What comes out is a real video: decoded here frame by frame."""

import hashlib
import io
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import av
import pytest
from av.audio.frame import AudioFrame
from PIL import Image

from tests.workers.sandbox.conftest import SAMPLES, TALKING, WAN, Provider, a_picture
from workers.sandbox.camera import camera_move
from workers.sandbox.rendering import RenderingStopped, Scene, even_size, render
from workers.sandbox.sound import SAMPLE_RATE, Soundtrack

KLING = "kwaivgi/kling-v2.5-turbo-std/image-to-video"
KANDINSKY = "wavespeed-ai/kandinsky5-pro/image-to-video"


@dataclass(frozen=True)
class Decoded:
    """What decoding a video to its end showed."""

    size: tuple[int, int]
    codecs: list[str]
    pixel_format: str
    rate: float
    duration_s: float
    frames: int


def decoded(file: Path | io.BytesIO) -> Decoded:
    with av.open(file, "r") as container:
        video = container.streams.video[0]
        assert container.duration is not None
        frames = sum(1 for _ in container.decode(video))
        return Decoded(
            size=(video.width, video.height),
            codecs=sorted(each.codec_context.name for each in container.streams),
            pixel_format=str(video.pix_fmt),
            rate=float(video.base_rate or 0),
            duration_s=container.duration / 1_000_000,
            frames=frames,
        )


def pictures_of(file: Path) -> list[bytes]:
    with av.open(file, "r") as container:
        return [frame.to_image().tobytes() for frame in container.decode(video=0)]


def sound_of(file: Path | io.BytesIO) -> list[float]:
    """The loudest sample of each tenth of a second."""
    loudest: dict[int, float] = {}
    with av.open(file, "r") as container:
        for frame in container.decode(audio=0):
            assert frame.time is not None
            tenth = int(frame.time * 10)
            loudest[tenth] = max(loudest.get(tenth, 0.0), loudest_of(frame))
    return [loudest[tenth] for tenth in sorted(loudest)]


async def video_of(provider: Provider, model: str = WAN, **inputs: object) -> io.BytesIO:
    done = await provider.run(model, **inputs)
    assert done["status"] == "completed", done["error"]
    return io.BytesIO((await provider.download(done["outputs"][0])).content)


def loudest_of(frame: AudioFrame) -> float:
    # The buffer is longer than the frame; what follows the samples is not sound.
    samples = memoryview(bytes(frame.planes[0])).cast("f")[: frame.samples]
    return max(abs(each) for each in samples)


def a_scene(tmp_path: Path, *, prompt: str = "a calm sea", seed: int = 1) -> Scene:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(a_picture(120, 80))
    return Scene(
        picture=picture,
        width=120,
        height=80,
        duration_s=0.5,
        camera=camera_move(prompt, seed),
    )


async def test_wan_makes_h264_with_sound_of_the_asked_length_and_size(sandbox: Provider) -> None:
    image = await sandbox.upload((SAMPLES / "rocket.jpg").read_bytes())

    video = await video_of(sandbox, image=image, resolution="480p", duration=3)

    found = decoded(video)
    assert found.size == (720, 480)
    assert found.codecs == ["aac", "h264"]
    assert (found.pixel_format, found.rate, found.frames) == ("yuv420p", 24.0, 72)
    assert found.duration_s == pytest.approx(3.0, abs=0.02)


@pytest.mark.parametrize(
    ("model", "inputs", "short_side"),
    [
        (KLING, {"prompt": "x"}, 720),
        (KANDINSKY, {"prompt": "x", "resolution": "512p"}, 512),
        (WAN, {"prompt": "x", "resolution": "1080p", "duration": 3}, 1080),
    ],
)
async def test_the_short_side_is_the_size_class_and_the_shape_is_the_pictures(
    sandbox: Provider, model: str, inputs: dict[str, object], short_side: int
) -> None:
    await sandbox.faults(output={"kind": "other_duration", "duration_s": 0.2})
    image = await sandbox.upload(a_picture(360, 480))

    video = await video_of(sandbox, model, image=image, **inputs)

    found = decoded(video)
    assert found.size[0] == short_side
    assert abs(found.size[1] - short_side * 480 / 360) <= 1
    assert found.size[1] % 2 == 0


async def test_models_without_sound_make_none(sandbox: Provider) -> None:
    await sandbox.faults(output={"kind": "other_duration", "duration_s": 0.2})

    assert decoded(await video_of(sandbox, KLING, prompt="x")).codecs == ["h264"]


async def test_a_talking_avatar_lasts_as_long_as_its_audio_to_the_hundredth(
    sandbox: Provider,
) -> None:
    image = await sandbox.upload(a_picture(100, 100))
    speech = await sandbox.upload((SAMPLES / "speech.wav").read_bytes(), "speech.wav")
    mask = await sandbox.upload(a_picture(100, 100), "mask.jpg")

    video = await video_of(sandbox, TALKING, image=image, audio=speech, mask_image=mask)

    found = decoded(video)
    assert found.size == (480, 480)
    assert found.duration_s == pytest.approx(4.7946, abs=0.02)
    assert found.codecs == ["aac", "h264"]


async def test_two_speakers_in_turn_last_as_long_as_both(sandbox: Provider) -> None:
    await sandbox.faults(output={"kind": "other_size", "width": 64, "height": 64})
    image = await sandbox.upload(a_picture(100, 100))
    speech = await sandbox.upload((SAMPLES / "speech.wav").read_bytes(), "speech.wav")
    both = {"image": image, "left_audio": speech, "right_audio": speech}

    video = await video_of(sandbox, f"{TALKING}/multi", **both, order="left_right")

    assert decoded(video).duration_s == pytest.approx(2 * 4.7946, abs=0.02)


async def test_a_prompt_alone_is_enough_for_text_to_video(sandbox: Provider) -> None:
    await sandbox.faults(output={"kind": "other_duration", "duration_s": 0.2})

    done = await sandbox.ended(
        (await sandbox.data("POST", "alibaba/wan-2.5/text-to-video", {"prompt": "x"}))["id"]
    )

    content = (await sandbox.download(done["outputs"][0])).content
    assert decoded(io.BytesIO(content)).size == (1280, 720)


async def test_a_video_is_a_source_too(sandbox: Provider) -> None:
    await sandbox.faults(output={"kind": "other_size", "width": 64, "height": 64})
    speech = await sandbox.upload((SAMPLES / "speech.wav").read_bytes(), "speech.wav")
    made = await sandbox.run(resolution="480p", duration=3)

    again = await sandbox.data(
        "POST",
        f"{TALKING}/video-to-video",
        {"video": made["outputs"][0], "audio": speech},
    )

    assert (await sandbox.ended(again["id"]))["status"] == "completed"


def test_given_audio_is_followed_by_silence_up_to_the_duration(tmp_path: Path) -> None:
    scene = a_scene(tmp_path)
    heard = Soundtrack(tracks=(SAMPLES / "speech.wav",))
    target = tmp_path / "out.mp4"

    render(replace(scene, duration_s=7.0, soundtrack=heard), target, threading.Event())

    loudness = sound_of(target)
    assert len(loudness) == pytest.approx(70, abs=1)
    assert max(loudness[:40]) > 0.1
    assert max(loudness[52:]) < 0.01


def test_longer_audio_is_cut_and_without_audio_there_is_a_soft_ambience(tmp_path: Path) -> None:
    speech = Soundtrack(tracks=(SAMPLES / "speech.wav",))
    ambience = Soundtrack(ambience_seed=3)

    cut = sum(frame.samples for frame in speech.frames(1.5))
    quiet = list(ambience.frames(1.5))

    assert cut == sum(frame.samples for frame in quiet) == 1.5 * SAMPLE_RATE
    assert 0.0 < max(loudest_of(each) for each in quiet) < 0.2


def test_the_same_prompt_and_seed_give_the_same_pictures_and_others_give_others(
    tmp_path: Path,
) -> None:
    def pictures(prompt: str, seed: int) -> str:
        target = tmp_path / "out.mp4"
        render(a_scene(tmp_path, prompt=prompt, seed=seed), target, threading.Event())
        return hashlib.sha256(b"".join(pictures_of(target))).hexdigest()

    first = pictures("a calm sea", 1)

    assert pictures("a calm sea", 1) == first
    assert len({first, pictures("a wild sea", 1), pictures("a calm sea", 2)}) == 3


def test_the_pictures_move(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    render(a_scene(tmp_path), target, threading.Event())

    assert len(set(pictures_of(target))) == 12


def test_a_rotated_photo_is_turned_upright(tmp_path: Path) -> None:
    scene = a_scene(tmp_path)
    sideways = Image.new("RGB", (120, 80), "navy")
    sideways.paste("white", (0, 0, 20, 80))
    exif = Image.Exif()
    # 6: the camera was held turned; the picture's left edge belongs at the top.
    exif[0x0112] = 6
    sideways.save(scene.picture, exif=exif)
    target = tmp_path / "out.mp4"
    upright = replace(scene, width=80, height=120)

    render(upright, target, threading.Event())

    with av.open(target) as container:
        frame = next(container.decode(video=0)).to_image()
    assert min(frame.getpixel((40, 3)) or ()) > 200
    assert min(frame.getpixel((40, 115)) or ()) < 50


def test_the_index_stands_before_the_pictures(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    render(a_scene(tmp_path), target, threading.Event())

    content = target.read_bytes()

    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_a_stopped_rendering_leaves_no_file(tmp_path: Path) -> None:
    scene = a_scene(tmp_path)
    stop = threading.Event()
    stop.set()

    with pytest.raises(RenderingStopped):
        render(scene, tmp_path / "out.mp4", stop)

    assert [each.name for each in tmp_path.iterdir()] == ["picture.jpg"]


def test_a_long_move_swings_instead_of_crawling() -> None:
    move = camera_move("x", 1)

    assert "cos(1*PI*on/239)" in move.zoompan(frames=240, width=64, height=64)
    assert "cos(16*PI*on/1439)" in move.zoompan(frames=1440, width=64, height=64)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((600, 400), 480, (720, 480)), ((451, 300), 720, (1082, 720)), ((300, 301), 480, (480, 482))],
)
def test_both_sides_are_even(
    size: tuple[int, int], short_side: int, expected: tuple[int, int]
) -> None:
    assert even_size(size, short_side) == expected

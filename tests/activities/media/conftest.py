"""Builders of real media files, each with defaults that show only what matters."""

from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from PIL import Image

from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from tests.s3 import MEDIA_URL, S3, running_s3

EXAMPLES = Path(__file__).parents[3] / "examples"
FRAMES_PER_S = 24


@pytest.fixture
def examples() -> Path:
    return EXAMPLES


@pytest.fixture
def media_settings(tmp_path: Path) -> MediaSettings:
    return MediaSettings(media_url=(tmp_path / "media").as_uri())


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def _write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return _write


@pytest.fixture
def a_video(tmp_path: Path) -> Callable[..., Path]:
    """A noisy video, so that each of its bytes matters."""

    def _a_video(  # noqa: PLR0913  # One parameter a property; each test names the one it needs.
        name: str = "video.mp4",
        *,
        frames: int = 24,
        size: tuple[int, int] = (320, 180),
        black: int = 0,
        movflags: str = "",
        speech: bool = False,
        skipped_s: int = 0,
    ) -> Path:
        path = tmp_path / name
        options = {"movflags": movflags} if movflags else {}
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream("libx264", rate=FRAMES_PER_S)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "ultrafast"}
            sound: AudioStream | None = None
            if speech:
                sound = container.add_stream("aac", rate=22050)
            for number in range(frames + 1):
                packets = stream.encode(_frame(number, size, black) if number < frames else None)
                for packet in packets:
                    if skipped_s and packet.pts is not None and packet.dts is not None:
                        packet.pts -= int(skipped_s / packet.time_base)
                        packet.dts -= int(skipped_s / packet.time_base)
                    container.mux(packet)
            if sound is not None:
                with av.open(str(EXAMPLES / "speech.wav")) as source:
                    for frame in source.decode(audio=0):
                        container.mux(sound.encode(frame))
                container.mux(sound.encode(None))
        return path

    return _a_video


def _frame(number: int, size: tuple[int, int], black: int) -> VideoFrame:
    image = Image.new("RGB", size) if number < black else _noise(size)
    frame: VideoFrame = VideoFrame.from_image(image)
    frame.pts = number
    frame.time_base = Fraction(1, FRAMES_PER_S)
    return frame


def _noise(size: tuple[int, int]) -> Image.Image:
    return Image.effect_noise(size, 60).convert("RGB")


@pytest.fixture
def a_sound(tmp_path: Path) -> Callable[..., Path]:
    """The spoken sample in another format; codec and container by FFmpeg's names."""

    def _a_sound(name: str, codec: str, rate: int = 44100, container_format: str = "") -> Path:
        path = tmp_path / name
        with (
            av.open(str(EXAMPLES / "speech.wav")) as source,
            av.open(str(path), "w", format=container_format or None) as container,
        ):
            stream = container.add_stream(codec, rate=rate)
            assert isinstance(stream, AudioStream)
            for frame in source.decode(audio=0):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return _a_sound


@pytest.fixture(scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3]:
    """An S3 API with a bucket, shared by the session's tests of buckets."""
    async with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
async def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    """A store on the bucket, which is empty."""
    await s3.empty()
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return MediaStore.from_url(MEDIA_URL)

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image, ImageStat

from activities.media.errors import TooLarge, VideoCorrupt
from tests.activities.media.measured import inspect_video, make_poster

Write = Callable[[str, bytes], Path]
Video = Callable[..., Path]


@pytest.mark.parametrize("movflags", ["", "+faststart", "frag_keyframe+empty_moov"])
def test_a_whole_video_is_measured_however_it_is_laid_out(a_video: Video, movflags: str) -> None:
    facts = inspect_video(a_video(frames=36, movflags=movflags))

    assert (facts.mime_type, facts.codec, facts.frames) == ("video/mp4", "h264", 36)
    assert (facts.width, facts.height) == (320, 180)
    assert facts.duration_s == pytest.approx(1.5)
    assert not facts.has_audio


def test_a_video_with_sound_says_so(a_video: Video) -> None:
    facts = inspect_video(a_video(frames=115, speech=True))

    assert facts.has_audio
    assert facts.duration_s == pytest.approx(115 / 24)


def test_frames_that_an_edit_list_hides_are_not_missing(a_video: Video) -> None:
    facts = inspect_video(a_video(frames=48, skipped_s=1))

    assert facts.frames == 24
    assert facts.duration_s == pytest.approx(1.0)


@pytest.fixture
def webm(a_video: Video, tmp_path: Path) -> Path:
    path = tmp_path / "video.webm"
    with av.open(str(a_video(frames=48))) as source, av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=24)
        stream.width, stream.height = 320, 180
        stream.pix_fmt = "yuv420p"
        for frame in source.decode(video=0):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packet_position(path: Path, number: int) -> int:
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    return positions[number] or 0


def test_a_webm_video_is_taken(webm: Path) -> None:
    facts = inspect_video(webm)

    assert (facts.mime_type, facts.codec, facts.frames) == ("video/webm", "vp8", 48)


def test_a_webm_video_that_ends_before_its_header_says_is_corrupt(webm: Path) -> None:
    webm.write_bytes(webm.read_bytes()[: packet_position(webm, 24)])

    with pytest.raises(VideoCorrupt, match=r"is cut short: it plays 1\.0 s of 2\.0 s"):
        inspect_video(webm)


@pytest.mark.parametrize("movflags", ["", "+faststart"])
@pytest.mark.parametrize("share", [0.5, 0.95, 0.999])
def test_a_video_cut_anywhere_is_corrupt(a_video: Video, movflags: str, share: float) -> None:
    path = a_video(movflags=movflags)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])

    with pytest.raises(VideoCorrupt, match=r"^video\.mp4 is cut short"):
        inspect_video(path)


def test_a_cut_between_two_frames_whose_boxes_add_up_misses_frames(a_video: Video) -> None:
    path = a_video(movflags="+faststart")
    data = bytearray(path.read_bytes()[: packet_position(path, 12)])
    at = data.index(b"mdat") - 4
    data[at : at + 4] = (len(data) - at).to_bytes(4)
    path.write_bytes(data)

    with pytest.raises(VideoCorrupt, match="12 of 24 frames do not decode"):
        inspect_video(path)


def test_a_video_with_a_zeroed_middle_is_corrupt(a_video: Video) -> None:
    path = a_video()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(data)

    with pytest.raises(VideoCorrupt, match="is damaged"):
        inspect_video(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"<html><body>502 Bad Gateway</body></html>", "is not a video"),
        (b"#EXTM3U\nhttp://127.0.0.1/segment.ts\n", "is not a video"),
        (b"\0\0\0\x18ftypisom" + bytes(12), "is damaged"),
        (b"\0\0\0\x18ftypisom" + bytes(3), "is cut short"),
    ],
)
def test_what_is_no_video_is_corrupt(write: Write, data: bytes, reason: str) -> None:
    with pytest.raises(VideoCorrupt) as caught:
        inspect_video(write("video.mp4", data))

    assert str(caught.value).startswith(f"video.mp4 {reason}")


def test_sound_alone_is_no_video(a_sound: Callable[..., Path]) -> None:
    with pytest.raises(VideoCorrupt, match="holds no pictures"):
        inspect_video(a_sound("sound.mp4", "aac"))


def test_a_video_over_the_size_limit_is_refused(a_video: Video) -> None:
    with pytest.raises(TooLarge):
        inspect_video(a_video(), size_bytes_max=1000)


@pytest.mark.parametrize(("name", "mime_type"), [("p.jpg", "image/jpeg"), ("p.webp", "image/webp")])
def test_a_poster_is_at_most_640_pixels_and_keeps_the_shape(
    a_video: Video, tmp_path: Path, name: str, mime_type: str
) -> None:
    facts = make_poster(a_video(frames=2, size=(1280, 720)), tmp_path / name)

    assert (facts.mime_type, facts.width, facts.height) == (mime_type, 640, 360)


def test_a_small_video_is_not_blown_up_for_its_poster(a_video: Video, tmp_path: Path) -> None:
    facts = make_poster(a_video(frames=2), tmp_path / "p.jpg")

    assert (facts.width, facts.height) == (320, 180)


def test_a_poster_is_not_one_of_the_black_frames_at_the_beginning(
    a_video: Video, tmp_path: Path
) -> None:
    make_poster(a_video(black=12), tmp_path / "p.jpg")

    with Image.open(tmp_path / "p.jpg") as poster:
        assert ImageStat.Stat(poster.convert("L")).mean[0] > 40


def test_a_wholly_black_video_has_a_black_poster(a_video: Video, tmp_path: Path) -> None:
    facts = make_poster(a_video(frames=6, black=6), tmp_path / "p.jpg")

    assert facts.width == 320


def test_a_poster_of_an_unknown_format_is_the_callers_mistake(
    a_video: Video, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"\.gif"):
        make_poster(a_video(frames=2), tmp_path / "p.gif")

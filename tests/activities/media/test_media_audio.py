from collections.abc import Callable
from pathlib import Path

import pytest

from activities.media.errors import Damaged, NotAudio, TooLarge, Truncated
from tests.activities.media.measured import inspect_audio

Write = Callable[[str, bytes], Path]
SPEECH_S = 4.794558
WAV_OF_OPEN_SIZE = b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes.fromhex(
    "10000000010001002256000044ac000002001000"
)


def test_the_spoken_sample_lasts_what_its_samples_say(examples: Path) -> None:
    facts = inspect_audio(examples / "speech.wav")

    assert facts.mime_type == "audio/wav"
    assert facts.duration_s == pytest.approx(SPEECH_S, abs=1e-6)
    assert (facts.sample_rate, facts.channels) == (22050, 1)


@pytest.mark.parametrize(
    ("name", "codec", "container_format", "mime_type"),
    [
        ("a.mp3", "libmp3lame", "", "audio/mpeg"),
        ("a.opus", "libopus", "ogg", "audio/ogg"),
        ("a.aac", "aac", "adts", "audio/aac"),
        ("a.flac", "flac", "", "audio/flac"),
        ("a.m4a", "aac", "ipod", "audio/mp4"),
        ("a.wav", "pcm_s16le", "", "audio/wav"),
    ],
)
def test_each_taken_format_is_measured_by_decoding(
    a_sound: Callable[..., Path], name: str, codec: str, container_format: str, mime_type: str
) -> None:
    rate = 48000 if codec == "libopus" else 44100
    path = a_sound(name, codec, rate, container_format)

    facts = inspect_audio(path)

    assert facts.mime_type == mime_type
    # Encoders pad to their block: 1152 samples an MP3 frame, twice 1024 an AAC one.
    assert facts.duration_s == pytest.approx(SPEECH_S, abs=0.06)


def test_a_header_that_promises_more_sound_does_not_change_the_length(write: Write) -> None:
    stated = 10 * 22050 * 2
    data = WAV_OF_OPEN_SIZE + b"data" + stated.to_bytes(4, "little") + bytes(22050 * 2)

    assert inspect_audio(write("claims.wav", data)).duration_s == pytest.approx(1.0)


def test_a_wav_that_was_written_to_a_pipe_is_fine(write: Write) -> None:
    data = WAV_OF_OPEN_SIZE + b"data\xff\xff\xff\xff" + bytes(22050 * 2)

    assert inspect_audio(write("piped.wav", data)).duration_s == pytest.approx(1.0)


def test_a_wav_without_its_last_padding_byte_is_fine(examples: Path, write: Write) -> None:
    data = bytearray((examples / "speech.wav").read_bytes())
    data[4:8] = (len(data) - 8 + 1).to_bytes(4, "little")

    assert inspect_audio(write("odd.wav", bytes(data))).duration_s == pytest.approx(SPEECH_S)


@pytest.mark.parametrize(
    ("name", "codec", "container_format"),
    [("a.mp3", "libmp3lame", ""), ("a.flac", "flac", ""), ("a.m4a", "aac", "ipod")],
)
def test_cut_sound_is_refused(
    a_sound: Callable[..., Path], name: str, codec: str, container_format: str
) -> None:
    path = a_sound(name, codec, 44100, container_format)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises((Truncated, Damaged)) as caught:
        inspect_audio(path)

    assert str(caught.value).startswith(name)


def test_a_cut_wav_is_refused_with_its_name(examples: Path, write: Write) -> None:
    data = (examples / "speech.wav").read_bytes()

    with pytest.raises(Truncated, match=r"^half\.wav is cut short"):
        inspect_audio(write("half.wav", data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.wav", b"", "is empty"),
        ("page.mp3", b"<html>gone</html>", "is not sound"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is not sound"),
        ("script.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n", "is not sound"),
    ],
)
def test_what_is_no_sound_is_refused(write: Write, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(NotAudio) as caught:
        inspect_audio(write(name, data))

    assert str(caught.value).startswith(f"{name} {reason}")


def test_a_picture_is_not_sound(examples: Path) -> None:
    with pytest.raises(NotAudio):
        inspect_audio(examples / "portrait.jpg")


def test_a_video_with_sound_is_not_taken_as_sound(a_video: Callable[..., Path]) -> None:
    with pytest.raises(NotAudio, match="is a video"):
        inspect_audio(a_video(speech=True))


def test_garbage_behind_a_good_beginning_is_damaged(write: Write) -> None:
    with pytest.raises(Damaged, match="is damaged"):
        inspect_audio(write("bad.flac", b"fLaC" + bytes(range(256)) * 8))


def test_sound_over_the_size_limit_is_refused(examples: Path) -> None:
    with pytest.raises(TooLarge, match="allowed: at most 1,000 bytes"):
        inspect_audio(examples / "speech.wav", size_bytes_max=1000)

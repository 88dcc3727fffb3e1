"""Decodes foreign files in a process of their own, which is killed when it takes too much.

Decoders are large C libraries fed with bytes that strangers chose: here a crash, a hang or too much
memory ends one child (`decoder`) and not the worker. The child gets the file's path, limits and a
bare environment, and holds no secret.
"""

import asyncio
import json
import math
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, overload

from pydantic import ValidationError

from activities.media.decoder_processes import DecoderProcess, start_process
from activities.media.errors import (
    MEDIA_INVALID,
    DecoderCrashed,
    DecodingFailed,
    DecodingTimedOut,
    MediaInvalid,
)
from activities.media.files import POSTER_FORMATS
from workflows.contracts.media import AudioFacts, ImageFacts, MediaKind, VideoFacts

if TYPE_CHECKING:
    from activities.media.settings import MediaSettings

_DECODER_THREADS = 2
_ANSWER_BYTES_MAX = 64 * 1024
_DIAGNOSTICS_BYTES_MAX = 4 * 1024

StartDecoder = Callable[[Sequence[str]], Awaitable[DecoderProcess]]
"""From a decoder's arguments to its process: `start_process`, or `Decoders.start`."""

_Facts = TypeVar("_Facts", bound=ImageFacts | AudioFacts | VideoFacts)
_FACTS: dict[MediaKind, type[ImageFacts | AudioFacts | VideoFacts]] = {
    "image": ImageFacts,
    "audio": AudioFacts,
    "video": VideoFacts,
}


class _Said(NamedTuple):
    """What a child said, a line per answer, and how it failed after that, if it did."""

    answers: list[bytes]
    failed: DecodingFailed | None


@overload
async def inspect(
    kind: Literal["image"], path: Path, settings: "MediaSettings", *, start: StartDecoder = ...
) -> ImageFacts: ...
@overload
async def inspect(
    kind: Literal["audio"], path: Path, settings: "MediaSettings", *, start: StartDecoder = ...
) -> AudioFacts: ...
@overload
async def inspect(
    kind: Literal["video"], path: Path, settings: "MediaSettings", *, start: StartDecoder = ...
) -> VideoFacts: ...


async def inspect(
    kind: MediaKind,
    path: Path,
    settings: "MediaSettings",
    *,
    start: StartDecoder = start_process,
) -> ImageFacts | AudioFacts | VideoFacts:
    """The facts of a foreign file, by decoding it in a child process; `start` says from where.

    Raises:
        MediaInvalid: As the direct function of that kind.
        DecodingTimedOut: It took longer than `decode_timeout_s`.
        DecoderCrashed: It died, or needed more than `decode_memory_bytes_max`.
    """
    said = await _decode(kind, path, None, settings, start)
    if said.failed is not None:
        raise said.failed
    return _facts(_FACTS[kind], path, said.answers, settings)


async def inspect_with_poster(
    path: Path,
    poster_path: Path,
    settings: "MediaSettings",
    *,
    start: StartDecoder = start_process,
) -> tuple[VideoFacts, ImageFacts | None]:
    """A video's facts and those of its poster, which one child writes to `poster_path`.

    None where no poster can be made, whatever the reason: a whole video is not refused for it.
    Nothing is left at `poster_path` then.

    Raises:
        ValueError: The suffix is not that of a poster.
        MediaInvalid, DecodingTimedOut, DecoderCrashed: As `inspect`, of the video.
    """
    if poster_path.suffix not in POSTER_FORMATS:
        raise ValueError(f"a poster is {', '.join(POSTER_FORMATS)}, not {poster_path.suffix!r}")
    poster: ImageFacts | None = None
    try:
        said = await _decode("video", path, poster_path, settings, start)
        if said.failed is not None and not said.answers:
            raise said.failed
        facts = _facts(VideoFacts, path, said.answers[:1], settings)
        if said.failed is None:
            with suppress(MediaInvalid, DecodingFailed):
                poster = _facts(ImageFacts, poster_path, said.answers[1:], settings)
    finally:
        if poster is None:  # Also when cancelled.
            poster_path.unlink(missing_ok=True)  # noqa: ASYNC240
    return facts, poster


async def _decode(
    kind: MediaKind,
    path: Path,
    poster_path: Path | None,
    settings: "MediaSettings",
    start: StartDecoder,
) -> _Said:
    decoder = await start(_arguments(kind, path, poster_path, settings))
    said, diagnostics = bytearray(), bytearray()
    failed: DecodingFailed | None = None
    try:
        async with asyncio.timeout(settings.decode_timeout_s):
            await asyncio.gather(
                _read(decoder.stdout, said, _ANSWER_BYTES_MAX),
                _read(decoder.stderr, diagnostics, _DIAGNOSTICS_BYTES_MAX),
            )
            code = await decoder.wait()
    except TimeoutError:
        failed = _timed_out(path, settings)
    else:
        failed = _failure(path, code, bytes(diagnostics), settings)
    finally:
        await decoder.end()
    return _Said(bytes(said).splitlines(), failed)


def _arguments(
    kind: MediaKind, path: Path, poster_path: Path | None, settings: "MediaSettings"
) -> tuple[str, ...]:
    size_max = settings.output_size_bytes_max if kind == "video" else settings.input_size_bytes_max
    return (
        kind,
        str(path.absolute()),
        str(poster_path.absolute()) if poster_path else "",
        str(size_max),
        str(math.ceil(settings.decode_timeout_s * _DECODER_THREADS)),
        str(settings.decode_memory_bytes_max),
    )


async def _read(stream: asyncio.StreamReader, kept: bytearray, size_bytes_max: int) -> None:
    """Keep the last bytes of a stream that is read to its end, so that its writer never blocks."""
    while chunk := await stream.read(_ANSWER_BYTES_MAX):
        kept += chunk
        del kept[:-size_bytes_max]


def _facts(
    model: type[_Facts], path: Path, answers: list[bytes], settings: "MediaSettings"
) -> _Facts:
    """What the child says; it has handled hostile bytes, so its answer is checked like theirs."""
    with suppress(ValidationError, ValueError, TypeError, KeyError):
        (answer,) = answers
        said = json.loads(answer)
        if "out_of_memory" in said:
            limit = f"{settings.decode_memory_bytes_max:,} bytes of memory"
            raise DecoderCrashed(f"decoding {path.name} took more than {limit}")
        if "refused" in said:
            name, reason, allowed = said["refused"]
            raise MEDIA_INVALID[name](path.name, str(reason), str(allowed))
        return model.model_validate(said["facts"])
    raise DecoderCrashed(f"decoding {path.name} ended without an answer")


def _timed_out(path: Path, settings: "MediaSettings") -> DecodingFailed:
    return DecodingTimedOut(f"decoding {path.name} took longer than {settings.decode_timeout_s} s")


def _failure(
    path: Path, code: int, diagnostics: bytes, settings: "MediaSettings"
) -> DecodingFailed | None:
    """What its exit code says; None where it ended as it should."""
    if code == 0:
        return None
    if code == -signal.SIGXCPU:
        return _timed_out(path, settings)
    ended = f"exit code {code}"
    if code < 0:
        with suppress(ValueError):
            ended = signal.Signals(-code).name
    text = diagnostics.decode(errors="replace")
    return DecoderCrashed(f"decoding {path.name} ended with {ended}", text)

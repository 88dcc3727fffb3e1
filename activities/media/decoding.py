"""Decodes foreign files in a process of their own, which is killed when it takes too much.

Decoders are large C libraries fed with bytes that strangers chose: here a crash, a hang or too much
memory ends one child and not the worker. The child is this module (`python -I -m`); it gets the
file's path, limits and a bare environment, prints one JSON object and holds no secret. It ends by
itself when its parent dies, since its stdin closes then.
"""

import argparse
import asyncio
import json
import math
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from pydantic import JsonValue, TypeAdapter, ValidationError

from activities.media.errors import (
    MEDIA_INVALID,
    DecoderCrashed,
    DecodingFailed,
    DecodingTimedOut,
    MediaInvalid,
)
from workflows.contracts.media import AudioFacts, ImageFacts, MediaKind, VideoFacts

if TYPE_CHECKING:
    # Its library takes longer to import than a picture to decode, and the child has no settings.
    from activities.media.settings import MediaSettings

_DECODER_THREADS = 2
_ANSWER_BYTES_MAX = 64 * 1024
_DIAGNOSTICS_BYTES_MAX = 4 * 1024
_POSTER_SIZE_BYTES_MAX = 16 * 1024 * 1024
_OPEN_FILES_MAX = 64

# No home, no path, no proxies, no keys. One malloc arena a thread would eat the address space.
_ENVIRONMENT = {"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}

_FACTS: TypeAdapter[ImageFacts | AudioFacts | VideoFacts] = TypeAdapter(
    ImageFacts | AudioFacts | VideoFacts
)


@overload
async def inspect(kind: Literal["image"], path: Path, settings: "MediaSettings") -> ImageFacts: ...
@overload
async def inspect(kind: Literal["audio"], path: Path, settings: "MediaSettings") -> AudioFacts: ...
@overload
async def inspect(kind: Literal["video"], path: Path, settings: "MediaSettings") -> VideoFacts: ...


async def inspect(
    kind: MediaKind, path: Path, settings: "MediaSettings"
) -> ImageFacts | AudioFacts | VideoFacts:
    """The facts of a foreign file, by decoding it in a child process.

    Raises:
        MediaInvalid: As the direct function of that kind.
        DecodingTimedOut: It took longer than `decode_timeout_s`.
        DecoderCrashed: It died, or needed more than `decode_memory_bytes_max`.
    """
    return await _decode(kind, path, None, settings)


async def make_poster(video_path: Path, out_path: Path, settings: "MediaSettings") -> ImageFacts:
    """`videos.make_poster` in a child process; nothing is left at `out_path` on failure.

    Raises:
        ValueError: The suffix is not that of a poster.
        MediaInvalid: There is no frame to be had.
        DecodingTimedOut, DecoderCrashed: As `inspect`.
    """
    if out_path.suffix.lower() not in (".jpg", ".jpeg", ".webp"):
        raise ValueError(f"a poster is a .jpg or a .webp file, not {out_path.suffix!r}")
    try:
        facts = await _decode("poster", video_path, out_path, settings)
    except BaseException:
        out_path.unlink(missing_ok=True)  # noqa: ASYNC240  # Also when cancelled.
        raise
    assert isinstance(facts, ImageFacts)
    return facts


async def _decode(
    task: str, path: Path, out: Path | None, settings: "MediaSettings"
) -> ImageFacts | AudioFacts | VideoFacts:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "activities.media.decoding"),
        *_arguments(task, path, out, settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    try:
        async with asyncio.timeout(settings.decode_timeout_s):
            answer, diagnostics = await asyncio.gather(
                _read(process.stdout, _ANSWER_BYTES_MAX),
                _read(process.stderr, _DIAGNOSTICS_BYTES_MAX),
            )
            code = await process.wait()
    except TimeoutError:
        raise _timed_out(path, settings) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process.stdin.close()
    if code == -signal.SIGXCPU:
        raise _timed_out(path, settings)
    if code != 0:
        raise _crashed(path, code, diagnostics)
    return _facts(task, path, answer, settings)


def _arguments(
    task: str, path: Path, out: Path | None, settings: "MediaSettings"
) -> tuple[str, ...]:
    inputs = task in ("image", "audio")
    size_max = settings.input_size_bytes_max if inputs else settings.output_size_bytes_max
    return (
        task,
        str(path.absolute()),
        str(out.absolute()) if out else "",
        str(size_max),
        str(math.ceil(settings.decode_timeout_s * _DECODER_THREADS)),
        str(settings.decode_memory_bytes_max),
    )


async def _read(stream: asyncio.StreamReader, size_bytes_max: int) -> bytes:
    """The last bytes of a stream that is read to its end, so that its writer never blocks."""
    kept = b""
    while chunk := await stream.read(_ANSWER_BYTES_MAX):
        kept = (kept + chunk)[-size_bytes_max:]
    return kept


def _facts(
    task: str, path: Path, answer: bytes, settings: "MediaSettings"
) -> ImageFacts | AudioFacts | VideoFacts:
    """What the child says; it has handled hostile bytes, so its answer is checked like theirs."""
    with suppress(ValidationError, ValueError, TypeError, KeyError):
        said = json.loads(answer)
        if "out_of_memory" in said:
            limit = f"{settings.decode_memory_bytes_max:,} bytes of memory"
            raise DecoderCrashed(f"decoding {path.name} took more than {limit}")
        if "refused" in said:
            name, reason, allowed = said["refused"]
            raise MEDIA_INVALID[name](path.name, str(reason), str(allowed))
        facts = _FACTS.validate_python(said["facts"])
        if facts.kind == ("image" if task == "poster" else task):
            return facts
    raise DecoderCrashed(f"decoding {path.name} ended without an answer")


def _timed_out(path: Path, settings: "MediaSettings") -> DecodingFailed:
    return DecodingTimedOut(f"decoding {path.name} took longer than {settings.decode_timeout_s} s")


def _crashed(path: Path, code: int, diagnostics: bytes) -> DecodingFailed:
    ended = f"exit code {code}"
    if code < 0:
        with suppress(ValueError):
            ended = signal.Signals(-code).name
    text = diagnostics.decode(errors="replace")
    return DecoderCrashed(f"decoding {path.name} ended with {ended}", text)


# What follows runs in the child.


def main() -> None:
    """Inspect one file under limits and print `facts`, `refused` or `out_of_memory` as JSON."""
    parser = argparse.ArgumentParser(prog="activities.media.decoding", description=main.__doc__)
    parser.add_argument("task", choices=("image", "audio", "video", "poster"))
    parser.add_argument("path", type=Path)
    parser.add_argument("out", help="the poster's path; empty for the other tasks")
    parser.add_argument("size_bytes_max", type=int)
    parser.add_argument("cpu_s_max", type=int)
    parser.add_argument("memory_bytes_max", type=int)
    given = parser.parse_args()
    _limit(given.cpu_s_max, given.memory_bytes_max, _POSTER_SIZE_BYTES_MAX if given.out else 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.write(json.dumps(_answer(given.task, given.path, given.out, given.size_bytes_max)))


def _limit(cpu_s: int, memory_bytes: int, written_bytes: int) -> None:
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: written_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES_MAX,
        resource.RLIMIT_CORE: 0,
    }
    for what, wanted in limits.items():
        _, hard = resource.getrlimit(what)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # At the soft CPU limit comes SIGXCPU, which the parent knows; at the hard one SIGKILL.
        resource.setrlimit(what, (value, hard if what == resource.RLIMIT_CPU else value))


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def _answer(task: str, path: Path, out: str, size_bytes_max: int) -> dict[str, JsonValue]:
    try:
        facts = _inspector(task, out, size_bytes_max)(path)
        return {"facts": facts.model_dump(mode="json")}
    except MediaInvalid as refusal:
        return {"refused": [type(refusal).__name__, refusal.reason, refusal.allowed]}
    except MemoryError:
        return {"out_of_memory": True}


def _inspector(
    task: str, out: str, size_bytes_max: int
) -> Callable[[Path], ImageFacts | AudioFacts | VideoFacts]:
    """The function for a task; only its own decoders are imported."""
    if task == "image":
        from activities.media.images import inspect_image  # noqa: PLC0415

        return lambda path: inspect_image(path, size_bytes_max=size_bytes_max)
    if task == "audio":
        from activities.media.audio import inspect_audio  # noqa: PLC0415

        return lambda path: inspect_audio(path, size_bytes_max=size_bytes_max)
    from activities.media import videos  # noqa: PLC0415

    if task == "poster":
        return lambda path: videos.make_poster(path, Path(out))
    return lambda path: videos.inspect_video(path, size_bytes_max=size_bytes_max)


if __name__ == "__main__":
    main()

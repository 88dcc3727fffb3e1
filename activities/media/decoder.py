"""The child of `decoding`: decodes one foreign file under limits, in a process of its own.

    python -I -m activities.media.decoder KIND PATH POSTER SIZE_BYTES_MAX CPU_S_MAX MEMORY_BYTES_MAX

It prints a JSON object a line: `facts`, `refused` or `out_of_memory` for the file, and where POSTER
is not empty another one for the poster. It ends by itself when its parent dies, since its stdin
closes then; one that a host has forked, the kernel ends. It is started for every file, so it
imports what it decodes with and nothing else.
"""

import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from activities.media.errors import MediaInvalid
from activities.media.files import Measured

_POSTER_SIZE_BYTES_MAX = 16 * 1024 * 1024
_OPEN_FILES_MAX = 64


def main() -> None:
    """Answer for one file, and for its poster where one is wanted."""
    kind, path, poster_path, *limits = sys.argv[1:]
    size_bytes_max, cpu_s, memory_bytes = (int(limit) for limit in limits)
    limit_process(cpu_s, memory_bytes, _POSTER_SIZE_BYTES_MAX if poster_path else 0)
    if not poster_path:
        _say(answer(kind, Path(path), size_bytes_max))
        return
    from activities.media.videos import PosterFrame, inspect_video  # noqa: PLC0415

    poster = PosterFrame()
    told = _answered(
        lambda: inspect_video(Path(path), size_bytes_max=size_bytes_max, poster=poster)
    )
    _say(told)
    if "facts" in told:
        _say(_answered(lambda: poster.save(Path(poster_path))))


def limit_process(cpu_s: int, memory_bytes: int, written_bytes: int) -> None:
    """Limit this process for good; a lower limit that it has already stays."""
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


def answer(kind: str, path: Path, size_bytes_max: int) -> dict[str, Any]:
    """What is to be said of one file: `facts`, `refused` or `out_of_memory`."""
    return _answered(lambda: _inspector(kind)(path, size_bytes_max=size_bytes_max))


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    # What is said stays said, also where the poster kills this process.
    sys.stdout.flush()


def _answered(measure: Callable[[], Measured]) -> dict[str, Any]:
    try:
        return {"facts": measure()}
    except MediaInvalid as refusal:
        return {"refused": [type(refusal).__name__, refusal.reason, refusal.allowed]}
    except MemoryError:
        return {"out_of_memory": True}


def _inspector(kind: str) -> Callable[..., Measured]:
    """The function for a kind; only its own decoders are imported."""
    if kind == "image":
        from activities.media.images import inspect_image  # noqa: PLC0415

        return inspect_image
    if kind == "audio":
        from activities.media.audio import inspect_audio  # noqa: PLC0415

        return inspect_audio
    from activities.media.videos import inspect_video  # noqa: PLC0415

    return inspect_video


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    main()

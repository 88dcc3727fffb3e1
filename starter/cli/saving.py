"""Copying a finished video out of the media store, whole or not at all."""

import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from starter.cli.refusals import NotDone, Usage
from workflows.contracts.ids import generation_digest

if TYPE_CHECKING:
    from starter.handles import GenerationHandle

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", re.ASCII)


class Target(NamedTuple):
    """Where a video goes: a file, or a folder in which it is named by its id."""

    path: Path
    is_folder: bool

    def file_for(self, generation_id: str) -> Path:
        """The file that will be written, always in that folder: a caller's own id is any text."""
        if not self.is_folder:
            return self.path
        plain = _PLAIN_NAME.fullmatch(generation_id)
        return self.path / f"{generation_id if plain else generation_digest(generation_id)}.mp4"


def checked(path: Path, flag: str = "--save") -> Target:
    """The target that `path` names, looked at before anything is spent.

    Raises:
        Usage: its folder does not exist or may not be written to.
    """
    is_folder = path.is_dir()
    folder = path if is_folder else path.parent
    if not folder.is_dir():
        raise Usage(f"{flag}: the folder {str(folder)!r} does not exist; allowed: an existing one.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Usage(f"{flag}: {str(folder)!r} may not be written to; allowed: a folder of yours.")
    return Target(path, is_folder)


async def save(handle: "GenerationHandle", target: Target) -> Path:
    """Write the video beside its place first, so that no half file is ever seen; returns the file.

    Raises:
        NotDone: the disk refused it. The video stays in the library.
    """
    path = target.file_for(handle.id)
    try:
        descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in handle.stream():
                    file.write(chunk)
                file.flush()
                os.fsync(descriptor)
            _put(Path(aside), path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)  # noqa: ASYNC240 - also when cancelled
            raise
    except OSError as error:
        raise NotDone(
            f"The video could not be written to {str(path)!r}: {error.strerror}.",
            f"It is safe in the library: stillmotion download {shlex.quote(handle.id)} --to PATH",
        ) from error
    return path


def _put(aside: Path, path: Path) -> None:
    aside.chmod(0o666 & ~_umask())
    aside.replace(path)


def _umask() -> int:
    """The process's mask: a temporary file is private, a saved one should be as any other."""
    mask = os.umask(0)
    os.umask(mask)
    return mask

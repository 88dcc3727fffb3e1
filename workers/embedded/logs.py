"""A child's output as a file that can't grow without bounds.

The child writes to the file itself, not to a pipe through us: so it can still write its last lines
while it shuts down after our death. It keeps its descriptor for good, so a full file is copied to
`NAME.1` and then emptied in place; the descriptor appends, and goes on at the new start. Lines
written between copy and emptying are lost, which is the price of that.
"""

import os
import shutil
from pathlib import Path

LOG_SIZE_BYTES_MAX = 10 * 1024 * 1024
TAIL_SIZE_BYTES = 16 * 1024


class ChildLog:
    """The output of one child at `path`; the file before it is kept as `path` + `.1`."""

    def __init__(self, path: Path, *, size_bytes_max: int = LOG_SIZE_BYTES_MAX) -> None:
        self.path = path
        self.size_bytes_max = size_bytes_max
        self._start_bytes = 0

    def open(self) -> int:
        """Return a descriptor for the child to append to; the caller closes its own copy."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.rotate()
        self._start_bytes = os.fstat(fd).st_size
        return fd

    def rotate(self) -> None:
        """Move the content to `path` + `.1` when it exceeds the maximum."""
        if self.path.stat().st_size <= self.size_bytes_max:
            return
        previous = self.path.with_name(f"{self.path.name}.1")
        previous.unlink(missing_ok=True)
        shutil.copyfile(self.path, previous)
        previous.chmod(0o600)
        os.truncate(self.path, 0)
        self._start_bytes = 0

    def tail(self) -> str:
        """Return the end of what was written since `open`, at most `TAIL_SIZE_BYTES`."""
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(self._start_bytes, size - TAIL_SIZE_BYTES))
            return file.read().decode("utf-8", errors="replace")

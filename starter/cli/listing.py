"""Finding generations and reading one: `list` and `show`."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from cyclopts import Parameter

from starter.cli.context import Ctx, connected
from starter.cli.describing import generation_blocks, generation_table, iso, stage_table
from starter.cli.flags import WORDS, GenerationId, Limit, User
from starter.cli.refusals import DONE, Usage
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Status

if TYPE_CHECKING:
    from starter.client import VideoClient

_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_SPAN_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


async def list_generations(
    *,
    user: User = None,
    status: Annotated[
        Status | None, WORDS, Parameter(help="Where they are, or how they ended")
    ] = None,
    operation: Annotated[Operation | None, Parameter(help="What was asked for")] = None,
    source: Annotated[Source | None, WORDS, Parameter(help="The product that asked")] = None,
    since: Annotated[
        str | None, Parameter(help="Started after this: 45m, 3h, 2d, or an ISO date and time")
    ] = None,
    limit: Limit = 100,
    ctx: Ctx,
) -> int:
    """List generations, newest first.

    For example: stillmotion list --status failed --since 2d --limit 20
    """
    after = moment(since) if since is not None else None
    if limit < 1:
        raise Usage(f"--limit: {limit}; allowed: 1 or more.")
    async with connected(ctx) as client:
        found = await client.generations(
            user_id=user,
            status=status,
            operation=operation,
            source=source,
            since=after,
            limit=limit,
        )
    blocks = generation_table(found) if found else "No generations."
    ctx.output.rows(found, blocks, bare=[generation.generation_id for generation in found])
    return DONE


async def show(generation: GenerationId, *, user: User = None, ctx: Ctx) -> int:
    """Show a generation: every field, its stages with their times, the money.

    For example: stillmotion show gen_4xk2
    """
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        seen, facts = await handle.read_generation(), await handle.facts()
        events = await client.events(handle.id, user_id=user)
        link = web_ui(client, handle.id)
    document = seen.model_dump(mode="json") | {
        "money": facts.money,
        "stages": [
            {"seq": event.seq, "stage": event.stage.value, "at": iso(event.at)} for event in events
        ],
        "web_ui": link,
    }
    blocks = [*generation_blocks(seen, money=facts.money, link=link), "", stage_table(events)]
    ctx.output.value(document, *blocks, bare=seen.status.value)
    return DONE


def web_ui(client: "VideoClient", generation_id: str) -> str | None:
    """The workflow's page, where we know the Web UI's address: under `dev`."""
    stack = client.place.stack
    if stack is None:
        return None
    # A caller's own id is any text.
    return f"{stack.temporal_ui}/namespaces/default/workflows/{quote(generation_id, safe='')}"


def moment(text: str) -> datetime:
    """`3h`, `2d` or an ISO date and time (UTC where it names no zone) as an aware time.

    Raises:
        Usage: neither.
    """
    span = _SPAN.fullmatch(text.strip())
    try:
        if span is not None:
            return datetime.now(UTC) - timedelta(seconds=int(span[1]) * _SPAN_S[span[2]])
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Usage(f"--since: {text!r}; allowed: 45m, 3h, 2d, 1w, 2026-11-22T08:00.") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)

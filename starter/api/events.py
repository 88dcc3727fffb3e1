"""What happens, as it happens: Server-Sent Events of one generation, or of all of a user's.

A stream goes on from `Last-Event-ID`, which browsers send by themselves, or from `?after=`. What it
costs is what happens (`hub`), so a thousand of them may be open. A reader who takes nothing is
dropped, and comes back for what is missing.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from activities.generations import following
from activities.generations.following import Told
from starter.api.callers import Caller, CallerOf
from starter.api.documents import GENERATIONS
from starter.api.generations import GenerationId
from starter.api.hub import DATABASE_AWAY, OVERLAP_S
from starter.api.messages import MEDIA_TYPE
from starter.api.parts import Parts, PartsOf
from starter.api.responses import Responses, problems
from starter.api.schemas import EVENT
from starter.api.scopes import owned
from starter.api.streaming import PatientStream
from starter.api.streams import OfAll, OfOne, Stream, pieces
from workflows.contracts.stages import TERMINAL

PIECE_WITHIN_S = 20.0
"""How long a reader may take over what it is sent."""

REPLAY_S_MAX = 3600.0
"""How far back a user's stream goes on from. Who was away for longer reads the list first."""

NUMBER_MAX = 10**18 - 1
"""Far below what PostgreSQL counts to."""

_UNBUFFERED = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
"""For proxies, which would gather events."""

_EXAMPLE = """\
id: 6
event: generating
data: {"generation_id":"gen_5mzq3kcfwnzvj4y2tqk7x6ab2e","stage":"generating","status":"running",\
"percent":20,"message":"The provider is generating","eta_s":95,"seq":6,"source":"api",\
"at":"2026-11-23T09:30:00Z","failure":null}

event: progress
data: {"generation_id":"gen_5mzq3kcfwnzvj4y2tqk7x6ab2e","stage":"generating","status":"running",\
"percent":41,"message":"The provider is generating","eta_s":63}

"""

router = APIRouter(tags=["events"])


class EventStream(PatientStream):
    """A stream of events. Were its media type here, FastAPI would describe it as one text."""

    @classmethod
    def of(cls, sent: AsyncGenerator[bytes]) -> "EventStream":
        """The reply that sends these pieces."""
        return cls(sent, piece_within_s=PIECE_WITHIN_S, headers=_UNBUFFERED, media_type=MEDIA_TYPE)


def _resumed(
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,18}$",
            description="The `id` of the last event that you have; goes before `after`.",
        ),
    ] = None,
    after: Annotated[
        int, Query(ge=0, le=NUMBER_MAX, description="The same, for the first request.")
    ] = 0,
) -> int:
    """The number to go on from; 0 = the beginning."""
    return after if last_event_id is None else int(last_event_id)


AfterOf = Annotated[int, Depends(_resumed)]


def _told(description: str) -> Responses:
    content: dict[str, Any] = {MEDIA_TYPE: {"itemSchema": EVENT, "example": _EXAMPLE}}
    return {200: {"description": description, "content": content}}


@router.get(
    f"{GENERATIONS}/{{generation_id:path}}/events",
    summary="Follow a generation",
    response_class=EventStream,
    responses=_told("Its events; the stream ends with the generation.")
    | {204: {"description": "It has ended, and you have all of its events."}}
    | problems(404),
)
async def of_one(
    generation_id: GenerationId, caller: CallerOf, parts: PartsOf, after: AfterOf
) -> Response:
    """What happened to a generation, and what happens, until it ends.

    `id` counts its events, `event` is the stage that it entered, `data` an object with stage,
    status, percent, message, eta_s, seq, at and failure. In between, `event: progress` without an
    id says how far it is. A comment is sent every 15 seconds.
    """
    await owned(parts, caller, generation_id)

    async def read() -> list[Told]:
        first, only = {generation_id: 1}, (generation_id,)
        return await following.told(parts.pool, first, generations=only)

    if after and _is_all(await read(), after):
        # A browser asks again after the end; this is how it is told not to.
        return Response(status_code=HTTPStatus.NO_CONTENT)
    sent = pieces(
        Stream(OfOne(after), caller.sources),
        parts.hub.of_generation(generation_id),
        read,
        may_listen=_may_listen(parts, caller),
        ends=True,
    )
    return EventStream.of(sent)


@router.get(
    "/v1/events",
    summary="Follow everything",
    response_class=EventStream,
    responses=_told("Events of all of the user's generations; the stream doesn't end by itself.")
    | problems(),
)
async def of_all(caller: CallerOf, parts: PartsOf, after: AfterOf) -> Response:
    """What happens to all generations of the user that the key's products asked for.

    It begins with the last event of each generation that has not ended, and with everything of the
    last minute. With `Last-Event-ID` it begins a minute before that event, at most an hour back:
    `id` counts everybody's events in the order in which they were written, and steps that are taken
    at the same time may be committed the other way round. So an event may be told again after a
    reconnection, under the same generation_id and seq; none is left out.
    """

    async def read() -> list[Told]:
        since = await _since(parts, after)
        first = await following.recent(parts.pool, (caller.user_id,), since)
        return await following.told(parts.pool, first, users=(caller.user_id,))

    sent = pieces(
        Stream(OfAll(after), caller.sources),
        parts.hub.of_user(caller.user_id),
        read,
        may_listen=_may_listen(parts, caller),
        ends=False,
    )
    return EventStream.of(sent)


def _is_all(events: list[Told], after: int) -> bool:
    """Whether the reader has the end."""
    return bool(events) and events[-1].facts.stage in TERMINAL and events[-1].seq <= after


async def _since(parts: Parts, after: int) -> datetime:
    """From when on a user's stream tells everything."""
    now = datetime.now(UTC)
    if not after:
        return now - timedelta(seconds=OVERLAP_S)
    oldest = now - timedelta(seconds=REPLAY_S_MAX)
    moment = await following.moment_of(parts.pool, after)
    if moment is None:
        return oldest
    return max(oldest, min(moment, now) - timedelta(seconds=OVERLAP_S))


def _may_listen(parts: Parts, caller: Caller) -> Callable[[], Awaitable[bool]]:
    """Whether the caller's key is still good; while PostgreSQL is away, as it was."""

    async def ask() -> bool:
        try:
            return await parts.keyring.of_id(parts.pool, caller.key_id) is not None
        except DATABASE_AWAY:
            return True

    return ask

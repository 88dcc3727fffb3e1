"""Generations over HTTP: start one, see how far it is, steer it.

A start answers at once, with a generation that goes on by itself; its events and its document tell
how. Steering is durable without workers, but for `resolve`, whose answer is a worker's.
"""

from http import HTTPStatus
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from activities.generations.reading import Filters
from starter.api.callers import CallerOf
from starter.api.cursors import (
    CURSOR_CHARACTERS_MAX,
    LIMIT,
    LIMIT_MAX,
    Moment,
    after_of,
    encode,
    page_of,
)
from starter.api.documents import (
    GENERATIONS,
    GenerationDocument,
    GenerationPage,
    Resolved,
    links_of,
)
from starter.api.idempotency import KeyOf, with_key
from starter.api.parts import PartsOf
from starter.api.responses import also, problems
from starter.api.schemas import WISH
from starter.api.scopes import generation_of, owned, sources_of
from starter.api.wishes import wish_of
from starter.handles import GenerationHandle, NothingToResolve
from starter.screening import screen
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import Stage, Status

router = APIRouter(prefix=GENERATIONS, tags=["generations"])

GenerationId = Annotated[
    str,
    Path(
        description="The whole id; a beginning of it finds nothing.",
        examples=["gen_5mzq3kcfwnzvj4y2tqk7x6ab2e"],
    ),
]


class GenerationFilters(BaseModel):
    """Which generations a page has; what is left out is any."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    status: Status | None = None
    operation: Operation | None = None
    source: Source | None = None
    """The product that asked; of those that the key asks for."""
    since: Moment | None = None
    """Not made before it."""
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT
    """How many at most."""
    cursor: Annotated[str, Field(max_length=CURSOR_CHARACTERS_MAX)] | None = None
    """The `next_cursor` of the page before; without one, the first page."""


class Decision(BaseModel):
    """What a person decides of a submission whose outcome nobody knows."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"decision": "give_up"},
                {"decision": "adopt", "prediction_id": "0123456789abcdef0123456789abcdef"},
            ]
        },
    )

    decision: Literal["adopt", "resubmit", "give_up"]
    """`adopt` takes a prediction of the provider's for it, `resubmit` sends it again, `give_up`
    ends it and gives back what was held."""
    prediction_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{4,128}$")
    """For `adopt`, and only for that."""

    @model_validator(mode="after")
    def _adopt_names_one(self) -> Self:
        if (self.decision == "adopt") != (self.prediction_id is not None):
            raise ValueError("adopt, and only adopt, names a prediction_id")
        return self


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    summary="Start a generation",
    response_description="It is accepted and goes on by itself; `Location` is its address.",
    responses=also(200, GenerationDocument, "The key's generation, which was started before.")
    | problems(408, 413, 415),
    openapi_extra=WISH,
)
async def start(
    request: Request, response: Response, caller: CallerOf, parts: PartsOf, key: KeyOf
) -> GenerationDocument:
    """Start one video: JSON, with media by id or URL, or a form with files.

    In a form the part `request` is that JSON, and the files are parts by the names of their fields:
    `image`, `audio`, `mask_image`, `scene`, `story_context`, in any order.

    What is known to be refused is refused at once. What a URL leads to is looked at later: then the
    generation fails, and its `error` says why.
    """
    client = parts.client
    async with wish_of(request, caller, parts) as wish:
        asked = await client.request(wish.operation, **with_key(wish.fields, key))
    await screen(client, asked)
    begun = await client.launcher.start(asked)
    if not begun.is_new:
        response.status_code = HTTPStatus.OK
    response.headers["Location"] = links_of(begun.generation_id, None).self
    handle = GenerationHandle(client, begun.generation_id, caller.user_id)
    return await _document(handle)


@router.get("", summary="List generations", responses=problems())
async def listed(
    caller: CallerOf, parts: PartsOf, filters: Annotated[GenerationFilters, Query()]
) -> GenerationPage:
    """The user's generations that the key's products asked for, newest first."""
    wanted = Filters(
        user_id=caller.user_id,
        status=filters.status,
        operation=filters.operation,
        source=filters.source,
        since=filters.since,
        limit=filters.limit + 1,
        after=after_of(filters.cursor),
        sources=sources_of(caller),
    )
    page, goes_on = page_of(await parts.client.reader.find(wanted), filters.limit)
    return GenerationPage(
        items=tuple(GenerationDocument.of(each) for each in page),
        next_cursor=encode(page[-1].generation_id) if goes_on else None,
    )


@router.get("/{generation_id:path}", summary="Read a generation", responses=problems(404))
async def read(generation_id: GenerationId, caller: CallerOf, parts: PartsOf) -> GenerationDocument:
    """One generation, with its progress as of now."""
    return await _document(await owned(parts, caller, generation_id))


@router.post(
    "/{generation_id:path}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    summary="Cancel a generation",
    response_description="It will end; what it costs is said in its document.",
    responses=also(200, GenerationDocument, "It has ended already.") | problems(404, 409),
)
async def cancel(
    generation_id: GenerationId, response: Response, caller: CallerOf, parts: PartsOf
) -> GenerationDocument:
    """Ask for its end. It is durable without workers; a video that is finished meanwhile is kept.

    409 where it waits for its turn in a batch: cancel that.
    """
    handle = await owned(parts, caller, generation_id)
    if not await handle.cancel():
        response.status_code = HTTPStatus.OK
    return await _document(handle)


@router.post(
    "/{generation_id:path}/resume",
    status_code=HTTPStatus.ACCEPTED,
    summary="Have a parked generation go on",
    response_description="It looks at once.",
    responses=also(200, GenerationDocument, "It has ended already.") | problems(404, 409),
)
async def resume(
    generation_id: GenerationId, response: Response, caller: CallerOf, parts: PartsOf
) -> GenerationDocument:
    """Look at once, where it is parked; one that runs is not disturbed.

    409 where it waits for its turn in a batch.
    """
    handle = await owned(parts, caller, generation_id)
    if not await handle.resume():
        response.status_code = HTTPStatus.OK
    return await _document(handle)


@router.post(
    "/{generation_id:path}/resolve",
    summary="Decide an unresolved generation",
    responses=problems(404, 408, 409, 413),
)
async def resolve(
    generation_id: GenerationId, decision: Decision, caller: CallerOf, parts: PartsOf
) -> Resolved:
    """Decide what an unresolved submission is, and learn what came of it.

    409 where it is not unresolved, or the decision doesn't fit it; but a decision that was carried
    out before is answered again. 503 where no worker is there to carry it out: nothing has changed.
    """
    handle = await owned(parts, caller, generation_id)
    try:
        outcome = await handle.resolve(decision.decision, decision.prediction_id)
    except NothingToResolve:
        if not _is_done(decision, await generation_of(parts, caller, generation_id)):
            raise
        outcome = "It was decided so before."
    return Resolved(outcome=outcome, generation=await _document(handle))


def _is_done(decision: Decision, generation: Generation) -> bool:
    """Whether the generation is where this decision leads; of `resubmit` nobody can tell."""
    if generation.stage is Stage.UNRESOLVED:
        return False
    match decision.decision:
        case "adopt":
            return generation.prediction_id == decision.prediction_id
        case "give_up":
            error = generation.error
            return error is not None and error.kind is FailureKind.GIVEN_UP
        case "resubmit":
            return False


async def _document(handle: GenerationHandle) -> GenerationDocument:
    generation, progress = await handle.read_generation(), await handle.progress()
    if progress.stage is not generation.stage:
        # It went on between the two reads.
        generation = await handle.read_generation()
    return GenerationDocument.of(generation, progress)

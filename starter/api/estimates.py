"""What a generation would cost, and whether it would be granted now: before anything is spent."""

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus

from fastapi import APIRouter, Request

from activities.ledger.usage import Estimate
from starter.api.callers import CallerOf
from starter.api.documents import estimate_over_http
from starter.api.parts import PartsOf
from starter.api.problems import Problem
from starter.api.responses import problems
from starter.api.schemas import WISH
from starter.api.wishes import Wish, wish_of
from workflows.contracts.media import PROVIDER_ROLES, MediaByUrl

FETCHED_WITHIN_S = 60.0
"""For what URLs lead to. A start leaves them to a worker, which has half an hour."""

router = APIRouter(tags=["generations"])


@router.post(
    "/v1/estimates",
    summary="Estimate a generation",
    response_description="The quote; `allowed`, or else the `refusal` that a start would meet.",
    responses=problems(408, 413, 415),
    openapi_extra=WISH,
)
async def estimate(request: Request, caller: CallerOf, parts: PartsOf) -> Estimate:
    """The quote by the code that reserves, of the same body as a start. Nothing is held or started.

    Files are measured and not stored; what stands at a URL is fetched, and kept like any input that
    nobody uses: for a week.
    """
    async with AsyncExitStack() as stack:
        wish = await stack.enter_async_context(wish_of(request, caller, parts))
        if _fetches(wish):
            await stack.enter_async_context(parts.intake.upload(caller.key_id))
        limit = asyncio.timeout(FETCHED_WITHIN_S if _fetches(wish) else None)
        try:
            async with limit:
                made = await parts.client.estimate_for(wish.operation, **wish.fields)
        except TimeoutError:
            if not limit.expired():
                raise
            raise _too_slow() from None
    return estimate_over_http(made)


def _fetches(wish: Wish) -> bool:
    return any(isinstance(wish.fields.get(role), MediaByUrl) for role in PROVIDER_ROLES)


def _too_slow() -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"What the URLs lead to did not come within {FETCHED_WITHIN_S:g} s.",
        kind="input_unreachable",
        hint="Try again, or upload the file: POST /v1/uploads",
    )

"""Is the process alive, and do the services answer that it needs: for probes and for people."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from http import HTTPStatus

from fastapi import APIRouter
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from starter.api.parts import Parts, PartsOf
from starter.api.problems import Problem
from starter.api.responses import problems_without_caller

ANSWER_WITHIN_S = 2.0
"""For each service; probes usually wait for longer."""

router = APIRouter()


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers; nothing else is looked at."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    responses=problems_without_caller(
        {HTTPStatus.SERVICE_UNAVAILABLE: "A service doesn't answer; `parts` says which."}
    ),
)
async def readyz(parts: PartsOf) -> dict[str, str]:
    """What each part says; 503 where one that every request needs doesn't answer."""
    found = dict(
        zip(
            ("postgresql", "temporal"),
            await asyncio.gather(
                _answers(parts.pool.fetchval("SELECT 1")), _answers(_system_info(parts))
            ),
            strict=True,
        )
    )
    told = {name: "answers" if fine else "does not answer" for name, fine in found.items()}
    told["webhooks"] = (
        "taken" if parts.webhook_secret is not None else "refused: WAVESPEED_API_KEY is not set"
    )
    silent = [name for name, fine in found.items() if not fine]
    if silent:
        detail = f"No answer from: {', '.join(silent)}."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, parts=dict(told))
    return {"status": "ready"} | told


async def _system_info(parts: Parts) -> None:
    # Every client asks this when it connects, so whoever may connect may ask it.
    await parts.temporal.workflow_service.get_system_info(
        GetSystemInfoRequest(), timeout=timedelta(seconds=ANSWER_WITHIN_S)
    )


async def _answers(asking: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await asking
    except Exception:  # noqa: BLE001 - whatever it says, it doesn't do what is needed
        return False
    return True

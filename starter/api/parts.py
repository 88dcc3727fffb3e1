"""What the API talks to, connected once per process."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

import asyncpg
from fastapi import Depends, Request
from temporalio.client import Client

from activities.database.pool import STARTER_ROLE, DatabaseUnreachable, Pool, connect
from activities.generations import repository as generations
from activities.provider.wavespeed import WaveSpeed
from starter.api.deliveries import Deliveries
from starter.api.secrets import WebhookSecret
from starter.api.settings import provider_settings
from starter.places import NotReachable, Place, connect_temporal


@dataclass(frozen=True)
class Parts:
    """Everything that a route may use."""

    pool: Pool
    temporal: Client
    hash_key: str = field(repr=False)
    """The deployment's; it never changes, so no caller costs a query for it."""
    webhook_secret: WebhookSecret | None
    """None where this process has no provider key: webhooks can't be verified then."""
    deliveries: Deliveries = field(default_factory=Deliveries)


@asynccontextmanager
async def connected(place: Place) -> AsyncGenerator[Parts]:
    """The parts, for the time of the block. The provider is asked only when a webhook comes.

    Raises:
        NotReachable: Temporal or PostgreSQL does not answer, or has no schema yet.
        SettingWrong, pydantic.ValidationError: a setting can't be used; its name is told.
    """
    async with AsyncExitStack() as stack:
        settings = provider_settings(place)
        try:
            pool = await stack.enter_async_context(connect(place.database, role=STARTER_ROLE))
        except DatabaseUnreachable as error:
            raise NotReachable(f"{error} {place.remedy}") from error
        hash_key = await _hash_key(pool)
        temporal = await connect_temporal(place)
        secret: WebhookSecret | None = None
        if settings.api_key is not None:
            secret = WebhookSecret(await stack.enter_async_context(WaveSpeed(settings)))
        yield Parts(pool, temporal, hash_key, secret)


async def _hash_key(pool: Pool) -> str:
    try:
        return await pool.fetchval(generations.SQL["hash_key"])
    except asyncpg.UndefinedTableError:
        raise NotReachable("The database has no schema yet: stillmotion migrate") from None


def _parts_of(request: Request) -> Parts:
    parts = request.app.state.parts
    assert isinstance(parts, Parts), "create_app sets them"
    return parts


PartsOf = Annotated[Parts, Depends(_parts_of)]
"""A route's parameter: the parts of the application that it belongs to."""

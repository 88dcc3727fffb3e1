"""What the API talks to, connected once per process."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

import asyncpg
from fastapi import Depends, Request
from temporalio.client import Client

from activities.access.repository import find_by_id
from activities.database.pool import STARTER_ROLE, DatabaseUnreachable, Pool, connect
from activities.database.settings import DatabaseSettings
from activities.generations import repository as generations
from activities.generations.notices import Notices
from activities.provider.wavespeed import WaveSpeed
from starter.api.deliveries import Deliveries
from starter.api.hub import Hub
from starter.api.intake import Intake
from starter.api.keyring import Keyring
from starter.api.rates import Rates
from starter.api.secrets import WebhookSecret
from starter.api.settings import provider_settings
from starter.client import VideoClient
from starter.places import NotReachable, Place, connect_temporal

STACK_CONNECTIONS_MAX = 16
"""To the PostgreSQL of a `stillmotion dev`, which has room for 200. A command line does with four;
here the requests of a whole page, an upload's rows and the readers of streams come at once, and
each has a connection for milliseconds. Elsewhere STILLMOTION_DATABASE_CONNECTIONS_MAX says it."""


@dataclass(frozen=True)
class Parts:
    """Everything that a route may use."""

    pool: Pool
    temporal: Client
    hash_key: str = field(repr=False)
    """The deployment's; it never changes, so no caller costs a query for it."""
    webhook_secret: WebhookSecret | None
    """None where this process has no provider key: webhooks can't be verified then."""
    client: VideoClient
    """What routes start, read and steer by, over the same connections."""
    place: Place
    hub: Hub
    """Whoever follows events here."""
    public_url: str | None = None
    """Where the deployment says that it is reached; None = wherever a caller reached it."""
    deliveries: Deliveries = field(default_factory=Deliveries)
    keyring: Keyring = field(default_factory=Keyring)
    rates: Rates = field(default_factory=Rates)
    intake: Intake = field(default_factory=Intake)


@asynccontextmanager
async def connected(place: Place) -> AsyncGenerator[Parts]:
    """The parts, for the time of the block. The provider is asked only when a webhook comes.

    Raises:
        NotReachable: Temporal or PostgreSQL does not answer, or lacks our newest tables.
        SettingWrong, pydantic.ValidationError: a setting can't be used; its name is told.
        CatalogueInvalid, StoreUnavailable: the catalogue or the media store can't be used.
    """
    async with AsyncExitStack() as stack:
        settings = provider_settings(place)
        try:
            pool = await stack.enter_async_context(connect(_database(place), role=STARTER_ROLE))
        except DatabaseUnreachable as error:
            raise NotReachable(f"{error} {place.remedy}") from error
        hash_key = await _hash_key(pool)
        temporal = await connect_temporal(place)
        secret: WebhookSecret | None = None
        if settings.api_key is not None:
            secret = WebhookSecret(await stack.enter_async_context(WaveSpeed(settings)))
        # It has nothing of its own to close.
        client, intake = VideoClient(temporal, pool, place, AsyncExitStack()), Intake()
        client.inputs.decoding = intake.decoding
        notices = Notices(_database(place), role=STARTER_ROLE)
        hub = Hub(pool, await stack.enter_async_context(notices))
        await stack.enter_async_context(hub)
        public_url = settings.public_url
        yield Parts(pool, temporal, hash_key, secret, client, place, hub, public_url, intake=intake)


def _database(place: Place) -> DatabaseSettings:
    if place.stack is None:
        return place.database
    return place.database.model_copy(update={"database_connections_max": STACK_CONNECTIONS_MAX})


async def _hash_key(pool: Pool) -> str:
    try:
        # The newest tables that every request needs.
        await find_by_id(pool, "")
        return await pool.fetchval(generations.SQL["hash_key"])
    except asyncpg.UndefinedTableError:
        raise NotReachable("The database lacks our newest tables: stillmotion migrate") from None


def _parts_of(request: Request) -> Parts:
    parts = request.app.state.parts
    assert isinstance(parts, Parts), "create_app sets them"
    return parts


PartsOf = Annotated[Parts, Depends(_parts_of)]
"""A route's parameter: the parts of the application that it belongs to."""

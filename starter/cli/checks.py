"""What `doctor` looks at, one function a part: one that fails hides no other."""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue as TaskQueueMessage
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
)

import starter
from activities.callbacks.repository import OF_LATE, Callbacks
from activities.database.migrations import pending
from activities.database.pool import STARTER_ROLE, Pool, connect
from activities.ledger.catalogues import load_catalogue
from activities.ledger.repository import SQL as LEDGER
from activities.media.errors import StoreError
from activities.provider.settings import ProviderSettings
from activities.provider.wavespeed import WaveSpeed
from starter.api.settings import provider_settings
from starter.cli.pacing_checks import pacing
from starter.cli.sweep_checks import findings, sweeper
from starter.cli.telemetry_checks import llm, metrics, payload_keys, traces
from starter.cli.version_checks import versions
from starter.cli.webhook_checks import webhooks
from starter.places import connect_temporal, store_of
from workflows.contracts.queues import SEARCH_ATTRIBUTES, TaskQueue
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from temporalio.client import Client

    from starter.places import Place

SKEW_S_MAX = 2.0
"""Ours and the database's clock: ETAs and deadlines are told by either."""

REINSTALL = "pip install --force-reinstall stillmotion"
SETTINGS = "stillmotion doctor --settings"
PAUSE = "stillmotion pause"
"""And have the ledger looked at before it goes on."""
ANOTHER_STORE = "export STILLMOTION_MEDIA_URL=s3://BUCKET/PREFIX"


class Check(NamedTuple):
    """One line of `doctor`."""

    name: str
    ok: bool
    detail: str
    repair: str | None = None
    """What to type where it isn't ok; words in capitals are the reader's."""


class Broken(Exception):
    """A check found something; the message says what."""

    def __init__(self, detail: str, repair: str) -> None:
        super().__init__(detail)
        self.repair = repair


@dataclass(frozen=True)
class Parts:
    """What could be connected to; None = that check said why not."""

    place: "Place"
    pool: "Pool | None"
    temporal: "Client | None"


async def run_checks(place: "Place") -> list[Check]:
    """Every check, in the order in which a person would look."""
    async with AsyncExitStack() as stack:
        found: list[Check] = [await _checked("code", _own_modules, REINSTALL)]
        found.append(
            await _checked("catalogue", lambda: _catalogue(place), "unset STILLMOTION_CATALOGUE")
        )
        pool, check = await _database(stack, place)
        found.append(check)
        temporal, check = await _temporal(place)
        found.append(check)
        parts = Parts(place, pool, temporal)
        if pool is not None:
            found += await _of_database(pool)
        if temporal is not None:
            found += await _of_temporal(temporal)
        found.append(await _checked("media store", lambda: _media(parts.place), ANOTHER_STORE))
        found += await _of_provider(place)
        found.append(await _checked("llm", lambda: llm(place), "unset OPENAI_BASE_URL"))
        found.append(await _checked("webhooks", webhooks, "stillmotion doctor --settings"))
        found.append(
            await _checked(
                "pacing",
                lambda: pacing(place.provider_url, parts.pool, parts.temporal),
                "stillmotion doctor --settings",
            )
        )
        found += [
            await _checked("sweeper", lambda: sweeper(pool, temporal), "stillmotion migrate"),
            await _checked("findings", lambda: findings(pool), "stillmotion migrate"),
            await _checked("payload keys", lambda: payload_keys(temporal), SETTINGS),
            await _checked("metrics", metrics, "stillmotion worker"),
            await _checked("traces", traces, "unset OTEL_EXPORTER_OTLP_ENDPOINT"),
        ]
    return found


async def _checked(name: str, look: Callable[[], Awaitable[str]], repair: str) -> Check:
    """The check's line, whatever happens in it."""
    try:
        return Check(name, ok=True, detail=await look())
    except Broken as error:
        return Check(name, ok=False, detail=str(error), repair=error.repair)
    except ValidationError as error:
        from starter.cli.refusals import setting_problem

        return Check(name, ok=False, detail=setting_problem(error), repair=SETTINGS)
    except Exception as error:  # noqa: BLE001 - a check that fails is what doctor is for
        told = str(error).partition("\n")[0] or type(error).__name__
        return Check(name, ok=False, detail=told, repair=repair)


async def _own_modules() -> str:
    return _rooms_in_one_place()


def _rooms_in_one_place() -> str:
    """PyPI has other packages that install a top-level `workflows`."""
    home = Path(starter.__file__ or "").resolve().parents[1]
    for room in ("workflows", "activities"):
        spec = find_spec(room)
        found = Path(spec.origin).resolve().parents[1] if spec and spec.origin else None
        if found != home:
            raise Broken(
                f"`import {room}` finds another package, in {found}: remove it,"
                " such as llama-index-workflows",
                REINSTALL,
            )
    return "every room is imported from one place"


async def _catalogue(place: "Place") -> str:
    catalogue = load_catalogue(place.ledger.catalogue)
    origin = place.ledger.catalogue or "shipped"
    return f"version {catalogue.version}, {len(catalogue.models)} models ({origin})"


async def _database(stack: AsyncExitStack, place: "Place") -> "tuple[Pool | None, Check]":
    pools: list[Pool] = []

    async def look() -> str:
        pool = await stack.enter_async_context(connect(place.database, role=STARTER_ROLE))
        version = await pool.fetchval("SHOW server_version")
        pools.append(pool)
        return f"version {version}"

    repair = _start(place, "export STILLMOTION_DATABASE_URL=postgresql://USER@HOST:5432/NAME")
    check = await _checked("postgresql", look, repair)
    return (pools[0] if pools else None), check


async def _temporal(place: "Place") -> "tuple[Client | None, Check]":
    clients: list[Client] = []

    async def look() -> str:
        client = await connect_temporal(place)
        clients.append(client)
        return f"{client.service_client.config.target_host}"

    repair = _start(place, "export TEMPORAL_ADDRESS=HOST:7233")
    check = await _checked("temporal", look, repair)
    return (clients[0] if clients else None), check


def _start(place: "Place", setting: str) -> str:
    """How what doesn't answer comes back: the stack that was found, else by its setting."""
    return setting if place.stack is None else place.remedy.split("`")[1]


async def _of_database(pool: "Pool") -> list[Check]:
    async def migrations() -> str:
        async with pool.acquire() as connection:
            due = await pending(connection)
        if due:
            names = ", ".join(migration.name for migration in due)
            raise Broken(f"pending: {names}", "stillmotion migrate")
        return "none pending"

    async def balanced() -> str:
        rows = await pool.fetch(LEDGER["unbalanced"])
        if rows:
            users = ", ".join(sorted({row["user_id"] for row in rows})[:5])
            raise Broken(
                f"{len(rows)} balances differ from the sum of their entries: {users}:"
                " have the ledger looked at before it goes on",
                PAUSE,
            )
        spans = await pool.fetch(LEDGER["unbalanced_spending"])
        if spans:
            told = ", ".join(f"{row['span']} {row['starts_on']}" for row in spans[:5])
            raise Broken(
                f"the spending of {len(spans)} spans differs from the sum of its entries: {told}:"
                " have the ledger looked at before it goes on",
                PAUSE,
            )
        return "balances and spending are the sums of their entries"

    async def clock() -> str:
        before = datetime.now(UTC)
        theirs = await pool.fetchval("SELECT clock_timestamp()")
        after = datetime.now(UTC)
        skew_s = (theirs - (before + (after - before) / 2)).total_seconds()
        if abs(skew_s) > SKEW_S_MAX:
            raise Broken(
                f"PostgreSQL's clock differs by {skew_s:+.1f} s", "timedatectl set-ntp true"
            )
        return f"PostgreSQL's differs by {skew_s:+.3f} s"

    async def submits() -> str:
        since = await pool.fetchval("SELECT value FROM deployment WHERE name = 'paused'")
        if since is not None:
            raise Broken(f"paused since {since}", "stillmotion unpause")
        return "not paused"

    return [
        await _checked("migrations", migrations, "stillmotion migrate"),
        await _checked("ledger", balanced, "stillmotion migrate"),
        await _checked("clock", clock, "timedatectl set-ntp true"),
        await _checked("submits", submits, "stillmotion migrate"),
        await _checked("callbacks", lambda: _callbacks(pool), "stillmotion migrate"),
    ]


async def _callbacks(pool: "Pool") -> str:
    """No part of ours is broken where a receiver was given up, and it can be told again."""
    given_up = await Callbacks(pool).given_up_of_late()
    late = f"given up in the last {OF_LATE.days} days"
    if given_up:
        return f"warning: {given_up} {late}; see: stillmotion callbacks list --state given_up"
    return f"none {late}"


async def _of_temporal(client: "Client") -> list[Check]:
    async def namespace() -> str:
        request = DescribeNamespaceRequest(namespace=client.namespace)
        described = await client.workflow_service.describe_namespace(request)
        kept = described.config.workflow_execution_retention_ttl.ToTimedelta()
        return f"{client.namespace}, histories kept for {kept.days} days"

    async def attributes() -> str:
        request = ListSearchAttributesRequest(namespace=client.namespace)
        listed = await client.operator_service.list_search_attributes(request)
        missing = [
            key.name for key in SEARCH_ATTRIBUTES if key.name not in listed.custom_attributes
        ]
        if missing:
            options = " ".join(f"--name {name} --type Keyword" for name in missing)
            raise Broken(
                f"missing: {', '.join(missing)}",
                f"temporal operator search-attribute create {options}",
            )
        return ", ".join(key.name for key in SEARCH_ATTRIBUTES)

    found = [
        await _checked("namespace", namespace, "export TEMPORAL_NAMESPACE=NAME"),
        await _checked("search attributes", attributes, "export TEMPORAL_API_KEY=KEY"),
    ]
    queues = [
        await _checked(f"queue {queue}", _pollers(client, queue), "stillmotion worker")
        for queue in TaskQueue
    ]
    versioned = await _checked("versions", lambda: versions(client), SETTINGS)
    return [*found, *queues, versioned]


def _pollers(client: "Client", queue: TaskQueue) -> Callable[[], Awaitable[str]]:
    kinds = [TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY]
    if queue is TaskQueue.GENERATIONS:
        kinds.append(TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)

    async def look() -> str:
        counts: list[int] = []
        for kind in kinds:
            request = DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueueMessage(name=queue.value),
                task_queue_type=kind,
            )
            described = await client.workflow_service.describe_task_queue(request)
            counts.append(len(described.pollers))
        if min(counts) == 0:
            raise Broken("nobody polls it", f"stillmotion worker --queues {queue.value}")
        return f"{min(counts)} polling"

    return look


async def _media(place: "Place") -> str:
    try:
        return await _probed(place)
    except StoreError as error:
        raise Broken(str(error), error.repair) from error


async def _probed(place: "Place") -> str:
    """Put, get and delete a probe."""
    store = store_of(place)
    key, sent = f"probes/{secrets.token_hex(16)}", secrets.token_bytes(64)
    await store.put_bytes(sent, key, mime_type="application/octet-stream")
    try:
        got = b"".join([chunk async for chunk in store.stream(key)])
    finally:
        await store.delete(key)
    if got != sent:
        raise Broken("it gives back other bytes than it was given", ANOTHER_STORE)
    return f"{place.media.media_url}: put, get and delete work"


async def _of_provider(place: "Place") -> list[Check]:
    settings: list[ProviderSettings] = []

    async def balance() -> str:
        settings.append(provider_settings(place))
        async with _provider(settings[0]) as provider:
            left = await provider.balance()
        return f"{provider.base_url} takes our key, {dollars(left)} left"

    check = await _checked("provider", balance, "export WAVESPEED_API_KEY=KEY")
    if settings and settings[0].api_key is None:
        # A host that only starts generations needs no key: its workers do.
        return [Check("provider", ok=True, detail="not looked at: no WAVESPEED_API_KEY here")]
    return [check]


@asynccontextmanager
async def _provider(settings: ProviderSettings) -> AsyncGenerator[WaveSpeed]:
    async with WaveSpeed(settings) as provider:
        yield provider

"""What is told of what is: read by indexes, 0 where nothing is left, old where nobody answers."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from activities.callbacks.settings import CallbackSettings
from activities.database.migrations import migrate
from activities.database.pool import Pool, connect
from activities.database.settings import DatabaseSettings
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from activities.metrics.endings import SQL
from tests.workflows.theatre import with_namespace
from workers.embedded.postgres import EmbeddedPostgres
from workers.reporting import Gauges, Report
from workers.wiring import Settings

A_GENERATION = """
INSERT INTO generations (generation_id, user_id, idempotency_key, request_hash, request, operation,
                         source, stage, stage_at)
VALUES ('gen_one', 'ann', 'k', 'h', '{}', 'image-to-video', 'api', $1, now() - interval '2 hours')
"""


A_TOMBSTONE = """
INSERT INTO reservations (generation_id, state, videos, quoted_usd_micros, spent_on, closed_at)
VALUES ('gen_one', 'released', 0, 0, '2020-01-01', now())
"""
OF_THE_HOUSE = """
INSERT INTO ledger (generation_id, account, kind, settled_usd_micros, at)
VALUES ('gen_one', 'house', $1, $2, now() - make_interval(days => $3))
"""


class Told:
    """A report, and what it told last."""

    def __init__(self, report: Report, buffer: MetricBuffer) -> None:
        self._report = report
        self._buffer = buffer
        self._last: dict[tuple[str, tuple[tuple[str, object], ...]], float] = {}

    async def again(self) -> None:
        await self._report.tell()
        for update in self._buffer.retrieve_updates():
            labels = tuple(sorted(update.attributes.items()))
            self._last[update.metric.name, labels] = update.value

    def value(self, name: str, **labels: str) -> float:
        (found,) = [
            value
            for (told, of), value in self._last.items()
            if told == f"stillmotion_{name}" and labels.items() <= dict(of).items()
        ]
        return found


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[Pool]:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("CREATE DATABASE reports")
    url = postgres.dsn.replace("/stillmotion?", "/reports?", 1)
    settings = DatabaseSettings(database_url=SecretStr(url), database_connections_max=2)
    try:
        async with connect(settings) as pool:
            async with pool.acquire() as first:
                await migrate(first)
            yield pool
    finally:
        await connection.execute("DROP DATABASE reports WITH (FORCE)")
        await connection.close()


@pytest.fixture
async def told(database: Pool, temporal_server: str, tmp_path: Path) -> Told:
    buffer = MetricBuffer(10_000)
    meter = Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter
    settings = Settings(
        database=DatabaseSettings(database_url=SecretStr("postgresql://unused")),
        media=MediaSettings(media_url=f"file://{tmp_path}"),
        ledger=LedgerSettings(spend_limit_usd_day=2),  # pyright: ignore[reportArgumentType]
        callbacks=CallbackSettings(),
    )
    client = await with_namespace(temporal_server, f"reports-{uuid.uuid4().hex[:8]}")
    return Told(Report(database, client, meter, settings), buffer)


async def test_a_generation_that_has_moved_on_is_told_as_none_where_it_was(
    told: Told, database: Pool
) -> None:
    await database.execute(A_GENERATION, "unresolved")
    await told.again()
    assert told.value("generations_open", stage="unresolved") == 1
    assert told.value("stage_age_seconds", stage="unresolved") >= 7200

    await database.execute("UPDATE generations SET stage = 'completed'")
    await told.again()

    assert told.value("generations_open", stage="unresolved") == 0
    assert told.value("stage_age_seconds", stage="unresolved") == 0


async def test_a_pause_a_cap_and_a_finding_are_told(told: Told, database: Pool) -> None:
    await database.execute("INSERT INTO deployment VALUES ('paused', now() - interval '1 hour')")
    await database.execute("INSERT INTO findings VALUES ('unbalanced', 'balance 1', '')")
    await database.execute("INSERT INTO spending VALUES ('month', '2020-01-01', 7, 0)")

    await told.again()

    assert told.value("submits_paused_seconds") >= 3600
    assert told.value("spending_limit_usd_micros", span="day") == 2_000_000
    assert told.value("findings", kind="unbalanced") == 1
    assert told.value("held_usd_micros") == 7
    assert told.value("queue_pollers", queue="stillmotion-poll") == 0


async def test_what_the_house_ever_paid_neither_grows_old_nor_comes_back(
    told: Told, database: Pool
) -> None:
    await told.again()
    assert told.value("house_paid_usd_micros") == 0

    await database.execute(A_TOMBSTONE)
    await database.execute(OF_THE_HOUSE, "settle", 500, 40)
    await database.execute(OF_THE_HOUSE, "correct", 70, 1)
    await database.execute(OF_THE_HOUSE, "correct", -20, 0)
    await told.again()

    assert told.value("house_paid_usd_micros") == 570
    assert told.value("house_loss_usd_micros") == 50


async def test_where_postgresql_does_not_answer_the_last_values_stay_and_are_told_as_old(
    told: Told, database: Pool
) -> None:
    await database.execute(A_GENERATION, "generating")
    await told.again()

    database.terminate()
    await told.again()

    assert told.value("report_up", of="postgresql") == 0
    assert told.value("report_up", of="temporal") == 1
    assert told.value("generations_open", stage="generating") == 1


@pytest.mark.parametrize(
    "name", ["open", "house", "house_paid", "spending", "sweep_age", "telling", "paused"]
)
async def test_no_report_has_to_read_a_whole_table(database: Pool, name: str) -> None:
    async with database.acquire() as connection, connection.transaction():
        # Whoever has no index to go by reads the table all the same.
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = [row[0] for row in await connection.fetch(f"EXPLAIN {SQL[name]}")]

    assert not [line for line in plan if "Seq Scan" in line]


def test_a_sum_below_zero_is_told_as_none_and_stops_no_report() -> None:
    buffer = MetricBuffer(100)
    meter = Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter
    gauge = Gauges(meter, "stillmotion_test_usd_micros", "A sum")

    gauge.tell({(): -5})

    assert [update.value for update in buffer.retrieve_updates()] == [0]

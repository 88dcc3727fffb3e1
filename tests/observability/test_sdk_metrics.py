"""The SDK's counters of trouble have the labels by which the alerts ask for them."""

import asyncio
import re
from datetime import timedelta

import pytest
from stacks import until
from temporalio import activity
from temporalio.worker import Worker

from tests.observability.loads import a_free_address, scrape
from tests.observability.rules import alert_queries
from tests.workflows.theatre import with_namespace
from workers.telemetry import metrics_at
from workers.wiring import connect_temporal

OF_PROMETHEUS = {"instance", "job"}


@activity.defn(name="starved")
async def starved() -> None:
    """Beats only after Temporal has given it up."""
    await asyncio.sleep(1.5)
    while not activity.is_cancelled():
        activity.heartbeat()
        await asyncio.sleep(0.1)


async def test_attempts_that_were_overtaken_have_the_labels_of_their_alert(
    temporal_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_namespace(temporal_server, "overtaken")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "overtaken")
    address = a_free_address()
    client = await connect_temporal(temporal_server, runtime=metrics_at(address))
    (query,) = [each for each in alert_queries() if each.place == "AttemptsOvertaken"]
    asked = _labels(query.expr)

    async def overtaken() -> dict[str, str] | None:
        lines = (await scrape(address)).splitlines()
        shown = [_labels(line) for line in lines if line.startswith("temporal_request_failure")]
        return next((labels for labels in shown if asked.items() <= labels.items()), None)

    async with Worker(client, task_queue="overtaken", activities=[starved]):
        await client.start_activity(
            "starved",
            id="starved",
            task_queue="overtaken",
            schedule_to_close_timeout=timedelta(seconds=2),
            heartbeat_timeout=timedelta(seconds=1),
        )
        found = await until(overtaken)

    (summed_by,) = re.findall(r"by \(([^)]*)\)", query.expr)
    assert set(summed_by.split(", ")) <= found.keys() | OF_PROMETHEUS


def _labels(text: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', text))

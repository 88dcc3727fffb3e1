"""What a worker exposes and writes after a load: the numbers, and nobody's words."""

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from stacks import COFFEE, HASTY, Stack, at_stage, until

from starter import GenerationHandle
from tests.observability.loads import (
    FILE,
    PROMPT,
    USER,
    a_free_address,
    metrics_settings,
    run_load,
    scrape,
)
from tests.observability.rules import (
    alert_queries,
    dashboard_queries,
    metrics_in,
    metrics_of,
    sdk_names,
)
from workers.stack import environment_of
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stages import Stage

pytestmark = pytest.mark.slow

SECRETS = (PROMPT, USER, FILE, "told-nowhere")


class Loaded(NamedTuple):
    """What a load has left."""

    scraped: str
    events: list[dict[str, Any]]
    console: list[str]
    handles: dict[str, GenerationHandle]


@asynccontextmanager
async def logging_worker(stack: Stack, log: Path, settings: dict[str, str]) -> AsyncGenerator[None]:
    with log.open("wb") as written:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers", "worker"),
            env=environment_of(stack.address) | HASTY | settings,
            stderr=written,
        )
    try:
        yield
    finally:
        worker.terminate()
        await worker.wait()


@pytest.fixture(scope="module")
async def loaded(
    traced_stack: Stack, traced: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Loaded:
    folder, address = tmp_path_factory.mktemp("load"), a_free_address()
    picture = folder / FILE
    shutil.copy(COFFEE, picture)
    settings = metrics_settings(address) | traced | {"STILLMOTION_LOG_FORMAT": "json"}
    async with logging_worker(traced_stack, folder / "json.log", settings):
        handles = await run_load(traced_stack, picture)

        async def reported() -> str | None:
            scraped = await scrape(address)
            return scraped if 'stillmotion_report_up{of="temporal"} 1' in scraped else None

        scraped = await until(reported)
    job = {"kind": "failed", "message": "no"}
    poll = {"kind": "status", "code": 503, "times": 1}
    await traced_stack.faults({"job": job, "poll": poll})
    async with logging_worker(traced_stack, folder / "console.log", traced):
        words = {"resolution": "480p", "user_id": USER}
        failed = await traced_stack.client.image_to_video(picture, PROMPT, **words)
        await at_stage(failed, Stage.FAILED)
    events = [json.loads(line) for line in (folder / "json.log").read_text().splitlines()]
    return Loaded(scraped, events, (folder / "console.log").read_text().splitlines(), handles)


def value_of(scraped: str, name: str, **labels: str) -> float:
    """The sum of the series that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = [line for line in scraped.splitlines() if re.match(rf"{name}(\{{| )", line)]
    return sum(float(line.split()[-1]) for line in lines if all(each in line for each in wanted))


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("stillmotion_generations_reserved_total", {}, 5),
        ("stillmotion_generations_ended_total", {"status": "completed", "kind": "none"}, 4),
        ("stillmotion_generations_ended_total", {"operation": "scene-animation"}, 1),
        ("stillmotion_generations_ended_total", {"kind": "provider_failed"}, 1),
        ("stillmotion_generations_ended_total", {"kind": "max_cost_exceeded", "model": "none"}, 1),
        ("stillmotion_generation_duration_seconds_count", {"operation": "talking-avatar"}, 1),
        ("stillmotion_submissions_total", {"outcome": "accepted"}, 4),
        ("stillmotion_submissions_total", {"outcome": "ambiguous"}, 1),
        ("stillmotion_reconciliations_total", {"verdict": "adopted"}, 1),
        ("stillmotion_provider_requests_total", {"operation": "submit", "answer": "ok"}, 4),
        ("stillmotion_provider_requests_total", {"answer": "unanswered"}, 1),
        ("stillmotion_provider_requests_total", {"answer": "5xx"}, 1),
        ("stillmotion_llm_requests_total", {"outcome": "answered"}, 1),
        ("stillmotion_detection_delay_seconds_count", {}, 4),
        ("stillmotion_report_up", {}, 2),
        ("stillmotion_submits_paused_seconds", {}, 0),
    ],
)
def test_a_load_is_counted(loaded: Loaded, name: str, labels: dict[str, str], value: float) -> None:
    assert value_of(loaded.scraped, name, **labels) == value
    assert f"# TYPE {re.sub(r'_count$', '', name)} " in loaded.scraped


async def test_what_was_booked_is_what_the_metrics_say(loaded: Loaded, traced_stack: Stack) -> None:
    query = "SELECT sum(settled_usd_micros) FROM balances WHERE user_id = $1"
    booked = await traced_stack.value(query, USER)
    held = value_of(loaded.scraped, "stillmotion_reserved_usd_micros_total")

    assert value_of(loaded.scraped, "stillmotion_settled_usd_micros_total") == booked
    assert held > booked > 0


@pytest.mark.parametrize("query", [*alert_queries(), *dashboard_queries()], ids=lambda q: q.place)
def test_every_metric_of_an_alert_or_a_dashboard_is_exposed_or_one_of_the_sdks(
    loaded: Loaded, query: Any
) -> None:
    exposed = metrics_of(loaded.scraped)

    missing = metrics_in(query.expr) - exposed
    # The SDK shows a counter of trouble only once there was some; no cap is set here.
    of_sdk = {re.sub(r"^temporal_|_total$", "", name).encode() for name in missing}
    if missing != {"stillmotion_spending_limit_usd_micros"}:
        assert all(name.startswith("temporal_") for name in missing), missing
        assert all(name in SDK for name in of_sdk), missing


SDK = sdk_names()


def test_each_queue_is_told_with_who_polls_it_and_what_waits(loaded: Loaded) -> None:
    for queue in TaskQueue:
        assert value_of(loaded.scraped, "stillmotion_queue_pollers", queue=queue.value) >= 1
        assert f'stillmotion_queue_backlog{{kind="activity",queue="{queue}"}}' in loaded.scraped


def test_no_metric_names_a_generation_a_user_a_file_or_an_address(loaded: Loaded) -> None:
    lines = [line for line in loaded.scraped.splitlines() if line.startswith("stillmotion_")]
    ids = [handle.id for handle in loaded.handles.values()]

    assert not [line for line in lines for each in (*SECRETS, *ids, "://") if each in line]
    assert len(lines) < 600


def test_a_line_of_a_step_says_of_which_generation_run_attempt_and_trace_it_speaks(
    loaded: Loaded,
) -> None:
    of_steps = [event for event in loaded.events if "activity" in event]

    assert of_steps
    for event in of_steps:
        assert event["generation_id"] == event["workflow_id"]
        assert event["generation_id"] in {each.id for each in loaded.handles.values()}
        assert event["run_id"]
        assert event["attempt"] >= 1
        assert re.fullmatch("[0-9a-f]{32}", event["trace_id"])
    (said,) = [line for line in loaded.console if "a look failed" in line]
    ids = {"generation_id", "workflow_id", "run_id", "activity", "attempt", "trace_id"}
    assert ids <= set(re.findall(r"(\w+)=", said))


def test_no_line_holds_a_prompt_a_user_or_a_file_name_and_none_is_an_address(
    loaded: Loaded,
) -> None:
    lines = [*map(json.dumps, loaded.events), *loaded.console]

    assert len(lines) > 5
    assert not [line for line in lines for each in SECRETS if each in line]
    assert not [line for line in lines if "HTTP Request" in line]

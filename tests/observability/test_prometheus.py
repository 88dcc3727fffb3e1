"""A real Prometheus reads a worker and answers every query of the alerts and the dashboards."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from stacks import COFFEE, REPOSITORY, Stack, until

from tests.observability.loads import (
    a_free_address,
    metrics_settings,
    run_load,
)
from tests.observability.rules import ALERTS, Query, alert_queries, dashboard_queries

pytestmark = [pytest.mark.tools("prometheus"), pytest.mark.slow]

UNIT_TESTS = Path(__file__).with_name("alert_cases.yml")


@asynccontextmanager
async def prometheus(folder: Path, worker: str) -> AsyncGenerator[str]:
    """A server that reads `worker` every second, with our rules; its URL."""
    address = a_free_address()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": "stillmotion", "static_configs": [{"targets": [worker]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()


class Answers:
    """Prometheus' HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def series(self, expr: str) -> list[Any]:
        """What an expression gives now; fails where it can't be evaluated."""
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.get(f"{self._url}/api/v1/query", params={"query": expr})
            if reply.is_server_error:  # it still starts
                reply.raise_for_status()
        assert reply.json()["status"] == "success", reply.text
        return reply.json()["data"]["result"]

    async def is_loaded(self) -> bool:
        """Whether it has read the worker's last report some times."""
        try:
            seen = await self.series("count_over_time(stillmotion_report_up[1m]) > 3")
        except httpx.HTTPError:
            return False
        return bool(seen)


@pytest.fixture(scope="module")
async def answers(traced_stack: Stack) -> AsyncIterator[Answers]:
    with tempfile.TemporaryDirectory(prefix="sm-prom-") as path:
        folder, address = Path(path), a_free_address()
        picture = folder / "picture.jpg"
        shutil.copy(COFFEE, picture)
        settings = metrics_settings(address) | {"STILLMOTION_SPEND_LIMIT_USD_DAY": "1000"}
        async with traced_stack.worker(settings=settings), prometheus(folder, address) as url:
            answers = Answers(url)
            await until(answers.is_loaded)
            await run_load(traced_stack, picture)
            # Twice, so that there is an increase of everything that is counted.
            await run_load(traced_stack, picture)
            await until(lambda: _has_seen_all(answers))
            yield answers


async def _has_seen_all(answers: Answers) -> bool:
    ended = await answers.series("sum(stillmotion_generations_ended_total)")
    return bool(ended) and float(ended[0]["value"][1]) >= 11


@pytest.mark.parametrize("query", dashboard_queries(), ids=lambda query: query.place)
async def test_a_dashboards_query_returns_series(answers: Answers, query: Query) -> None:
    assert await answers.series(query.expr)


@pytest.mark.parametrize("query", alert_queries(), ids=lambda query: query.place)
async def test_an_alerts_expression_can_be_evaluated(answers: Answers, query: Query) -> None:
    fires = await answers.series(query.expr)

    # What the load did is no reason to get up.
    assert not fires or query.place in {"ProviderErrors", "LlmFails", "AmbiguousSubmissions"}


def test_the_rules_and_the_configuration_are_valid() -> None:
    config = REPOSITORY / "deploy" / "prometheus" / "prometheus.yml"

    for words in (("rules", "--lint-fatal", ALERTS), ("config", "--syntax-only", config)):
        _succeeds("promtool", "check", *map(str, words))


def test_the_rules_fire_when_they_should_and_not_before() -> None:
    _succeeds("promtool", "test", "rules", str(UNIT_TESTS))


def _succeeds(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

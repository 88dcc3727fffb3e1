"""Every alert has an entry in the runbook that says what to do, and every entry an alert."""

import re
import shlex

import pytest
import yaml
from stacks import REPOSITORY
from temporalio.runtime import BUFFERED_METRIC_KIND_COUNTER, MetricBuffer, Runtime, TelemetryConfig

from activities.metrics.instruments import Instruments
from starter.cli.app import app
from tests.observability.rules import (
    DASHBOARDS,
    RUNBOOK,
    Query,
    alert_queries,
    alerts,
    dashboard_queries,
    runbook_entries,
)

ENTRIES = runbook_entries()
INCREASE = re.compile(r"increase\((?P<series>(?P<name>\w+)(?:\{[^}]*\})?)\[(?P<window>\w+)\]\)")
GAUGES_OF_REPORTS = re.compile(
    r"stillmotion_(?:findings|stage_age|queue|callbacks|submits|sweep|spending|house)\w*"
)


@pytest.fixture(scope="module")
def shown_as_0() -> set[str]:
    """Our counters that a worker shows before anything has happened."""
    buffer = MetricBuffer(1000)
    Instruments(Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter)
    metrics = {update.metric.name: update.metric for update in buffer.retrieve_updates()}
    assert {each.kind for each in metrics.values()} == {BUFFERED_METRIC_KIND_COUNTER}
    return {f"{name}_total" for name in metrics}


@pytest.mark.parametrize(
    "query",
    [each for each in (*alert_queries(), *dashboard_queries()) if "increase(" in each.expr],
    ids=lambda query: query.place,
)
def test_an_increase_counts_the_event_that_begins_a_series(
    query: Query, shown_as_0: set[str]
) -> None:
    for found in INCREASE.finditer(query.expr):
        series, window = found["series"], found["window"]
        young = f"({series} unless {series} offset {window}) or {found[0]}"

        assert found["name"] in shown_as_0 or young in query.expr
    assert query.expr.count("increase(") == len(INCREASE.findall(query.expr))


@pytest.mark.parametrize("query", alert_queries(), ids=lambda query: query.place)
def test_an_alert_goes_by_no_report_of_a_worker_that_can_not_read_any_more(query: Query) -> None:
    told = len(GAUGES_OF_REPORTS.findall(query.expr)) and query.place != "ReportStale"

    assert not told or "and on (instance) stillmotion_report_up{of=" in query.expr


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_its_entry_in_the_runbook(rule: dict[str, dict[str, str]]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")

    assert (REPOSITORY / path) == RUNBOOK
    assert f"`{rule['alert']}`, {rule['labels']['severity']}." in ENTRIES[anchor]
    assert rule["annotations"]["summary"]


def test_every_entry_of_the_runbook_is_an_alerts() -> None:
    led_to = [rule["annotations"]["runbook"].partition("#")[2] for rule in alerts()]

    assert sorted(led_to) == sorted(ENTRIES)
    assert len(set(led_to)) == len(led_to)


@pytest.mark.parametrize("anchor", sorted(ENTRIES))
def test_an_entry_says_what_it_means_what_is_at_risk_where_to_look_and_what_to_type(
    anchor: str,
) -> None:
    entry = ENTRIES[anchor]

    for part in ("Means", "At risk", "Look", "Type"):
        assert f"- **{part}**: " in entry
    said = " ".join(entry.split())
    commands = re.findall(r"`(stillmotion [^`]+)`", said)
    for command in commands:
        verb = shlex.split(command)[1]
        assert verb in app.resolved_commands() or command.startswith("stillmotion-"), command


def test_every_dashboard_has_its_queries_and_the_datasource_that_is_provisioned() -> None:
    provisioned = REPOSITORY / "deploy/grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(provisioned.read_text("utf-8"))["datasources"]

    for name in ("generations", "money", "workers"):
        text = (DASHBOARDS / f"{name}.json").read_text("utf-8")
        assert set(re.findall(r'"uid": "(\w+)"\n', text)) == {source["uid"]}
    assert len(dashboard_queries()) > 30

"""The alerts, the dashboards and the runbook as they stand in the repository."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from stacks import REPOSITORY

ALERTS = REPOSITORY / "deploy" / "prometheus" / "alerts.yml"
DASHBOARDS = REPOSITORY / "deploy" / "grafana" / "dashboards"
RUNBOOK = REPOSITORY / "docs" / "runbook.md"
_METRIC = re.compile(r"\b(?:stillmotion|temporal)_[a-z0-9_]+")
_OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")


class Query(NamedTuple):
    """An expression, and where it stands."""

    place: str
    expr: str


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_queries() -> list[Query]:
    return [Query(rule["alert"], rule["expr"]) for rule in alerts()]


def dashboard_queries() -> list[Query]:
    return [
        Query(f"{path.stem}: {panel['title']}", target["expr"])
        for path in sorted(DASHBOARDS.glob("*.json"))
        for panel in json.loads(path.read_text("utf-8"))["panels"]
        for target in panel["targets"]
    ]


def runbook_entries() -> dict[str, str]:
    """Anchor → the entry's text."""
    parts = re.split(r"^### (.+)$", RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def metrics_in(expr: str) -> set[str]:
    """The metrics that an expression names, without what a histogram adds to its name."""
    return {_OF_HISTOGRAMS.sub("", name) for name in _METRIC.findall(_unlabelled(expr))}


def metrics_of(scraped: str) -> set[str]:
    """The metrics that a worker exposes."""
    return set(re.findall(r"^# TYPE (\S+) ", scraped, flags=re.MULTILINE))


def _unlabelled(expr: str) -> str:
    return re.sub(r"\{[^}]*\}", "", expr)


def sdk_names() -> bytes:
    """The SDK's core, which holds the names of its own metrics."""
    import temporalio.bridge

    (binary,) = Path(temporalio.bridge.__path__[0]).glob("temporal_sdk_bridge*.so")
    return binary.read_bytes()

"""Logs: structlog over the standard library, ids and no prompts; and where metrics go.

A line that is written in an activity or a workflow says of which generation, run and attempt it
speaks, and in which trace: no caller has to think of it.

An event is one line, whoever's words stand in it: a caller's id, a provider's message. Only a
traceback has more, and these are indented, so that none can be taken for an event. JSON escapes by
itself.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from temporalio import activity, workflow
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.metrics.instruments import BUCKETS
from activities.tracing.spans import TRACE_ID
from workflows.contracts.ids import callbacks_id_for


class MetricsAddressTaken(ValueError):
    """Nothing can listen there. Set STILLMOTION_METRICS_ADDRESS to another IP:PORT, or unset it."""


_OF_LINES = ("exception", "stack")


def configure_logging(log_format: str) -> None:
    """Send every log line to stderr, as JSON or for people."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        in_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # `in_context` says these as fields; in the message, each would be a text of its own.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False
    # They log URLs and headers, and those of outputs are signed.
    for name in ("httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def metrics_at(address: str | None) -> Runtime | None:
    """A runtime whose metrics, the SDK's and ours, Prometheus finds at `address`; None = the usual.

    Raises:
        MetricsAddressTaken: nothing can listen there.
    """
    if address is None:
        return None
    try:
        return Runtime(
            telemetry=TelemetryConfig(metrics=_prometheus(address), attach_service_name=False)
        )
    except (ValueError, RuntimeError) as error:
        raise MetricsAddressTaken(
            f"STILLMOTION_METRICS_ADDRESS: nothing can listen at {address}; allowed: a free"
            " IP:PORT of this machine, such as 127.0.0.1:9464, or unset for no metrics."
        ) from error


def _prometheus(address: str) -> PrometheusConfig:
    """The names that Temporal's own dashboards and alerts go by: seconds, units, `_total`."""
    return PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=BUCKETS,
    )


def in_context(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The event with the ids of what runs here; what the caller said of them stays."""
    for name, value in _ids().items():
        event.setdefault(name, value)
    return event


def _ids() -> dict[str, Any]:
    ids: dict[str, Any] = {}
    if activity.in_activity():
        of = activity.info()
        ids = {"workflow_id": of.workflow_id, "run_id": of.workflow_run_id}
        ids |= {"activity": of.activity_type, "attempt": of.attempt}
        workflow_type = of.workflow_type
    elif workflow.in_workflow():
        run = workflow.info()
        ids = {"workflow_id": run.workflow_id, "run_id": run.run_id}
        workflow_type = run.workflow_type
    else:
        return ids
    ids["generation_id"] = _generation_of(workflow_type, ids["workflow_id"] or "")
    ids["trace_id"] = TRACE_ID.get()
    return {name: value for name, value in ids.items() if value}


def _generation_of(workflow_type: str | None, workflow_id: str) -> str | None:
    """The generation that a workflow is about; a batch and a sweep are about many."""
    if workflow_type in {"Batch", "Sweep"}:
        return None
    return workflow_id.removeprefix(callbacks_id_for(""))


def visible(_logger: object, _name: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The event with every character that could begin a line or steer a terminal escaped."""
    return {
        _escaped(str(key)): _lines(value) if key in _OF_LINES else _value(value)
        for key, value in event.items()
    }


def _lines(text: object) -> str:
    return "\n".join(f"    {_escaped(line)}" for line in str(text).split("\n"))


def _value(value: object) -> object:
    if isinstance(value, str):
        return _escaped(value)
    # The renderer writes what its `repr` says.
    said = repr(value)
    return value if said.isprintable() else _escaped(said)


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

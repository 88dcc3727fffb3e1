"""Logs: structlog over the standard library, ids and no prompts.

An event is one line, whoever's words stand in it: a caller's id, a provider's message. Only a
traceback has more, and these are indented, so that none can be taken for an event. JSON escapes by
itself.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig


class MetricsAddressTaken(ValueError):
    """Nothing can listen there. Set STILLMOTION_METRICS_ADDRESS to another IP:PORT, or unset it."""


_OF_LINES = ("exception", "stack")


def configure_logging(log_format: str) -> None:
    """Send every log line to stderr, as JSON or for people."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
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
    # They log URLs and headers, and those of outputs are signed.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def metrics_at(address: str | None) -> Runtime | None:
    """A runtime whose metrics, the SDK's and ours, Prometheus finds at `address`; None = the usual.

    Raises:
        MetricsAddressTaken: nothing can listen there.
    """
    if address is None:
        return None
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))
    except (ValueError, RuntimeError) as error:
        raise MetricsAddressTaken(
            f"STILLMOTION_METRICS_ADDRESS: nothing can listen at {address}; allowed: a free"
            " IP:PORT of this machine, such as 127.0.0.1:9464, or unset for no metrics."
        ) from error


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

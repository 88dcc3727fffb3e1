"""`doctor`'s lines on metrics, traces, the LLM and encrypted payloads."""

import asyncio
import logging
import os
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from activities.tracing.settings import TracingSettings
from starter.previewing import llm_settings
from workflows.contracts.sweeps import WORKFLOW_TYPE as SWEEP

if TYPE_CHECKING:
    from temporalio.client import Client

    from starter.places import Place

METRICS = "STILLMOTION_METRICS_ADDRESS"
ANSWER_WITHIN_S = 5.0
_EVERYWHERE = ("0.0.0.0:", "[::]:")
_OURS = "stillmotion_report_up"


async def llm(place: "Place") -> str:
    """Whether the LLM that writes the prompts of scenes answers, without asking it anything.

    Raises:
        Broken: it does not answer, or refuses the key.
        pydantic.ValidationError: OPENAI_* can't be used.
    """
    from starter.cli.checks import Broken

    settings = llm_settings(place)
    if settings.address is None:
        return "none: a rule writes the prompts of scenes"
    key = settings.api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    try:
        async with _http() as http:
            reply = await http.get(f"{settings.address}/models", headers=headers)
    except httpx.HTTPError as error:
        raise Broken(
            f"{settings.address} does not answer ({type(error).__name__}); a rule writes the"
            " prompts of scenes meanwhile",
            "export OPENAI_BASE_URL=https://HOST/v1",
        ) from None
    if reply.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise Broken(f"{settings.address} refuses the key", "export OPENAI_API_KEY=KEY")
    # Many compatible endpoints list no models: that it answers is all that is asked.
    return f"{settings.address} answers"


async def metrics() -> str:
    """Whether a worker of this host shows its metrics where Prometheus looks for them.

    Raises:
        Broken: nobody does, or somebody else listens there.
    """
    from starter.cli.checks import Broken

    address = os.environ.get(METRICS)
    if not address:
        return f"not looked at: {METRICS} is not set here"
    here = address
    for everywhere in _EVERYWHERE:
        here = here.replace(everywhere, "127.0.0.1:")
    try:
        async with _http() as http:
            shown = (await http.get(f"http://{here}/metrics")).text
    except httpx.HTTPError as error:
        raise Broken(
            f"nobody shows them at {address} ({type(error).__name__})", "stillmotion worker"
        ) from None
    if "temporal_" not in shown:
        raise Broken(
            f"another server answers at {address}",
            f"export {METRICS}=127.0.0.1:9464, then: stillmotion worker",
        )
    said = "with what waits and is held" if _OURS in shown else "of a pool without reports"
    return f"shown at {address}, {said}"


async def traces() -> str:
    """Whether the collector takes our spans: it is sent none.

    Raises:
        Broken: it does not.
        pydantic.ValidationError: OTEL_SDK_DISABLED is neither true nor false.
    """
    from starter.cli.checks import Broken

    url = TracingSettings().url
    if url is None:
        return "none: OTEL_EXPORTER_OTLP_ENDPOINT is not set here"
    if not await asyncio.to_thread(_is_taken, url):
        raise Broken(
            "the collector takes no spans at OTEL_EXPORTER_OTLP_ENDPOINT",
            "export OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318, or unset it",
        )
    return "the collector takes them"


def _is_taken(url: str) -> bool:
    """By the exporter itself, which knows every variable of OpenTelemetry's."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    from activities.tracing.exporting import TRIES_LOGGER

    # What it says of each try is told in a line here.
    logging.getLogger(TRIES_LOGGER).setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(endpoint=url, timeout=ANSWER_WITHIN_S)
    try:
        return exporter.export([]) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()


async def payload_keys(temporal: "Client | None") -> str:
    """Whether the keys here read what the workers wrote last.

    Raises:
        Broken: they don't.
    """
    from starter.cli.checks import Broken

    if temporal is None:
        return "not looked at: it needs Temporal"
    query = f"WorkflowType != '{SWEEP}'"
    async for run in temporal.list_workflows(query, limit=1):
        handle = temporal.get_workflow_handle(run.id, run_id=run.run_id)
        async for event in handle.fetch_history_events(page_size=1):
            given = event.workflow_execution_started_event_attributes.input.payloads
            try:
                # A copy: whoever decodes may change it.
                await temporal.data_converter.decode(list(given))
            except Exception as error:  # noqa: BLE001 - whichever way it can't be read
                raise Broken(
                    f"the input of {run.id} can't be read here ({type(error).__name__})",
                    "export STILLMOTION_PAYLOAD_KEYS_FILE=THE_WORKERS_KEYS",
                ) from None
            is_encrypted = any(b"encrypted" in one.metadata["encoding"] for one in given)
            return "the keys here read what was written" if is_encrypted else "none: not encrypted"
    return "not looked at: there is no workflow yet"


def _http() -> httpx.AsyncClient:
    tls = httpx.create_ssl_context(trust_env=False)
    return httpx.AsyncClient(trust_env=False, verify=tls, timeout=ANSWER_WITHIN_S)

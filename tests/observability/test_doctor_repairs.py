"""Each line of `doctor` that is not ok tells a command to type."""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from activities.callbacks.settings import CallbackSettings
from activities.database.settings import DatabaseSettings
from activities.encryption.converter import data_converter
from activities.encryption.settings import EncryptionSettings
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from activities.tracing.spans import _Process  # pyright: ignore[reportPrivateUsage]
from starter.cli import telemetry_checks
from starter.cli.checks import Broken, Check, run_checks
from starter.places import Place
from tests.observability.collector import Collector
from tests.observability.loads import a_free_address
from tests.workflows.theatre import with_namespace

PROGRAMS = {"stillmotion", "temporal", "export", "unset", "pip", "timedatectl", "mkdir"}


def a_place(folder: Path) -> Place:
    """Where nothing answers, and no stack is."""
    nobody = a_free_address()
    return Place(
        DatabaseSettings(database_url=SecretStr(f"postgresql://nobody@{nobody}/none")),
        MediaSettings(media_url=f"s3://bucket-{secrets.token_hex(4)}/x"),
        LedgerSettings(catalogue=folder / "there-is-none.json"),
        CallbackSettings(),
        nobody,
        None,
    )


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", telemetry_checks.METRICS):
        monkeypatch.delenv(name, raising=False)
    # No exporter to a host that never answers goes on in the process of the tests.
    monkeypatch.setattr(_Process, "is_traced", True)
    return monkeypatch


@asynccontextmanager
async def answering(reply: Callable[[str], tuple[int, str]]) -> AsyncGenerator[str]:
    """A server that answers each path by `reply`; its address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, text = reply(head)
        body = text.encode()
        line = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(line.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_where_nothing_answers_each_line_tells_a_command(
    tmp_path: Path, nothing_set: pytest.MonkeyPatch
) -> None:
    nobody = a_free_address()
    nothing_set.setenv("WAVESPEED_API_KEY", "key")
    nothing_set.setenv("WAVESPEED_BASE_URL", f"http://{nobody}/api/v3")
    nothing_set.setenv("OPENAI_BASE_URL", f"http://{nobody}/v1")
    nothing_set.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{nobody}")
    nothing_set.setenv(telemetry_checks.METRICS, nobody)
    nothing_set.setenv("AWS_ACCESS_KEY_ID", "key")
    nothing_set.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nothing_set.setenv("AWS_ENDPOINT_URL", f"http://{nobody}")

    found = {check.name: check for check in await run_checks(a_place(tmp_path))}

    broken = [check for check in found.values() if not check.ok]
    assert {"catalogue", "postgresql", "temporal", "provider", "llm", "metrics", "traces"} <= {
        check.name for check in broken
    }
    wordless = [check for check in broken if not _is_command(check)]
    # The store's errors say themselves what to mend, in a sentence.
    assert {check.name for check in wordless} <= {"media store"}
    assert all(check.repair for check in broken)


def _is_command(check: Check) -> bool:
    return (check.repair or "").split(" ")[0] in PROGRAMS


async def test_an_llm_that_answers_is_told_with_its_address_and_one_that_refuses_us_with_its_key(
    tmp_path: Path, nothing_set: pytest.MonkeyPatch
) -> None:
    def reply(head: str) -> tuple[int, str]:
        return (HTTPStatus.NOT_FOUND, "") if "Bearer good" in head else (HTTPStatus.FORBIDDEN, "")

    async with answering(reply) as address:
        nothing_set.setenv("OPENAI_BASE_URL", f"http://{address}/v1")
        nothing_set.setenv("OPENAI_API_KEY", "good")
        told = await telemetry_checks.llm(a_place(tmp_path))
        nothing_set.setenv("OPENAI_API_KEY", "bad")
        with pytest.raises(Broken, match="refuses the key") as broken:
            await telemetry_checks.llm(a_place(tmp_path))

    assert told == f"http://{address}/v1 answers"
    assert broken.value.repair == "export OPENAI_API_KEY=KEY"


async def test_metrics_are_found_on_this_host_though_they_listen_everywhere(
    nothing_set: pytest.MonkeyPatch,
) -> None:
    def reply(head: str) -> tuple[int, str]:
        del head
        return HTTPStatus.OK, "temporal_num_pollers 5\nstillmotion_report_up 1\n"

    async with answering(reply) as address:
        nothing_set.setenv(telemetry_checks.METRICS, address.replace("127.0.0.1", "0.0.0.0"))

        assert "with what waits" in await telemetry_checks.metrics()


async def test_another_server_at_the_metrics_address_is_told(
    nothing_set: pytest.MonkeyPatch,
) -> None:
    async with answering(lambda _head: (HTTPStatus.OK, "hello")) as address:
        nothing_set.setenv(telemetry_checks.METRICS, address)

        with pytest.raises(Broken, match="another server"):
            await telemetry_checks.metrics()


async def test_a_collector_that_takes_spans_is_told_and_gets_none(
    collector: Collector, nothing_set: pytest.MonkeyPatch
) -> None:
    nothing_set.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    before = len(collector.spans)

    assert await telemetry_checks.traces() == "the collector takes them"
    assert len(collector.spans) == before


async def test_keys_that_do_not_read_what_was_written_are_told(temporal_server: str) -> None:
    plain = await with_namespace(temporal_server, f"keys-{secrets.token_hex(4)}")
    writer, reader = _with_a_key(plain, "a"), _with_a_key(plain, "b")
    await writer.start_workflow("Any", {"a": 1}, id="encrypted", task_queue="nobodys")

    async def is_listed() -> bool:
        return bool([run async for run in plain.list_workflows()])

    while not await is_listed():
        await asyncio.sleep(0.05)

    assert "read what was written" in await telemetry_checks.payload_keys(writer)
    with pytest.raises(Broken, match="encrypted can't be read") as broken:
        await telemetry_checks.payload_keys(reader)
    assert broken.value.repair.startswith("export STILLMOTION_PAYLOAD_KEYS_FILE=")


def _with_a_key(client: Client, key_id: str) -> Client:
    keys = SecretStr(f"{key_id}:{b64encode(secrets.token_bytes(32)).decode()}")
    config = client.config()
    config["data_converter"] = data_converter(EncryptionSettings(payload_keys=keys))
    return Client(**config)

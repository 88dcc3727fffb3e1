"""Health, and errors that no route makes: what probes and strangers get."""

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.database.pool import connect
from activities.database.settings import DatabaseSettings
from tests.starter.api.conftest import Api, api_of

PROBLEM = "application/problem+json"


@asynccontextmanager
async def a_way_to(address: str) -> AsyncGenerator[tuple[str, Callable[[], None]]]:
    """Another address of a server, and a call that closes it with every connection."""
    host, port = address.split(":")
    writers: list[asyncio.StreamWriter] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(host, port)
        writers.extend((writer, their_writer))
        await asyncio.gather(pass_on(reader, their_writer), pass_on(their_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)

    def close() -> None:
        server.close()
        for writer in writers:
            writer.transport.abort()

    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", close
    finally:
        close()


async def test_a_process_that_answers_is_alive_and_with_its_services_ready(api: Api) -> None:
    alive = await api.http.get(f"{api.origin}/livez")
    ready = await api.http.get(f"{api.origin}/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "postgresql": "answers",
        "temporal": "answers",
        "webhooks": "taken",
    }


async def test_a_database_that_went_away_is_named_and_webhooks_are_to_be_sent_again(
    api: Api,
) -> None:
    name = f"gone_{uuid.uuid4().hex}"
    await api.stack.database.execute(f"CREATE DATABASE {name}")
    url = api.stack.address.database.replace("/stillmotion?", f"/{name}?", 1)
    async with connect(DatabaseSettings(database_url=SecretStr(url))) as pool:
        await api.stack.database.execute(f"DROP DATABASE {name} WITH (FORCE)")

        async with api_of(dataclasses.replace(api.parts, pool=pool)) as origin:
            ready = await api.http.get(f"{origin}/readyz")
            told = await dataclasses.replace(api, origin=origin).tell("gen_any")
            alive = await api.http.get(f"{origin}/livez")

    assert (ready.status_code, ready.headers["content-type"]) == (503, PROBLEM)
    assert ready.json()["detail"] == "No answer from: postgresql."
    assert ready.json()["parts"]["temporal"] == "answers"
    assert (told.status_code, told.headers["content-type"]) == (503, PROBLEM)
    assert alive.status_code == 200


async def test_a_temporal_server_that_went_away_is_named_and_webhooks_are_to_be_sent_again(
    api: Api,
) -> None:
    generation_id = await api.accepted()

    async with a_way_to(api.stack.address.temporal) as (address, close):
        temporal = await Client.connect(address, data_converter=pydantic_data_converter)
        close()
        async with api_of(dataclasses.replace(api.parts, temporal=temporal)) as origin:
            ready = await api.http.get(f"{origin}/readyz")
            told = await dataclasses.replace(api, origin=origin).tell(
                generation_id, webhook_id="twice"
            )

    assert ready.status_code == 503
    assert ready.json()["detail"] == "No answer from: temporal."
    assert told.status_code == 503
    # It had no effect, so that the provider's next try is no duplicate.
    again = await api.tell(generation_id, webhook_id="twice")
    assert again.json() == {"outcome": "signalled"}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/livez/", "/v1"])
async def test_what_there_is_not_is_a_problem_document(api: Api, path: str) -> None:
    reply = await api.http.get(api.origin + path)

    assert (reply.status_code, reply.headers["content-type"]) == (404, PROBLEM)
    assert reply.json()["title"] == "Not Found"
    assert "server" not in reply.headers


async def test_a_method_that_there_is_not_is_refused_with_the_one_there_is(api: Api) -> None:
    reply = await api.http.get(api.address("gen_any"))

    assert (reply.status_code, reply.headers["content-type"]) == (405, PROBLEM)
    assert reply.headers["allow"] == "POST"

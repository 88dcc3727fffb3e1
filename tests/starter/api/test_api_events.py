"""Streams of events over real HTTP: what was, what happens, and where a reader goes on."""

import asyncio
import dataclasses
import itertools
import json
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from activities.access import repository as access
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.generations.notices import Notices
from starter.api import streams
from starter.api.hub import Hub
from starter.api.keyring import Keyring
from tests.starter.api.conftest import Api, api_of
from tests.starter.api.followers import ALL, WAY, asked, begun, enter, listening
from tests.starter.api.holders import owners_pool
from tests.starter.api.products import Product, a_product, a_user, problem_in
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.stages import Stage

LAST_STEPS = (Stage.DOWNLOADING, Stage.SAVING, Stage.SETTLING, Stage.COMPLETED)


@pytest.fixture(scope="module")
async def pool(api: Api) -> AsyncIterator[Pool]:
    async with owners_pool(api.stack) as operators:
        yield operators


def path_of(generation_id: str) -> str:
    return f"/v1/generations/{generation_id}/events"


async def test_a_stream_tells_what_was_and_what_happens_and_ends_with_the_generation(
    product: Product, pool: Pool
) -> None:
    user = a_user()
    generation_id = await begun(pool, user)

    async with listening(product, path_of(generation_id), user) as stream:
        heard = [await stream.entered() for _ in range(6)]
        await enter(pool, generation_id, *LAST_STEPS)
        heard += await stream.rest()

    percents = [each.data["percent"] for each in heard]
    assert [each.id for each in heard] == [each.data["seq"] for each in heard] == [*range(1, 11)]
    assert tuple(each.event for each in heard) == WAY
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert heard[5].data["message"] == "The provider is generating"
    assert heard[5].data["eta_s"] == 95
    assert (heard[-1].data["status"], heard[-1].data["failure"]) == ("completed", None)
    assert stream.reply.headers["content-type"].startswith("text/event-stream")
    assert stream.reply.headers["cache-control"] == "no-store"
    assert stream.retries_ms == [1000, 60_000]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"Last-Event-ID": "4"}),
        ("?after=4", {}),
        ("?after=1", {"Last-Event-ID": "4"}),
    ],
)
async def test_a_reader_goes_on_after_the_last_event_that_it_has(
    product: Product, pool: Pool, query: str, headers: dict[str, str]
) -> None:
    user = a_user()
    generation_id = await begun(pool, user)

    async with listening(product, path_of(generation_id) + query, user, headers) as stream:
        first = await stream.entered()

    assert (first.id, first.event) == (5, "submitting")


async def test_who_has_the_end_is_told_that_nothing_comes(product: Product, pool: Pool) -> None:
    user = a_user()
    generation_id = await begun(pool, user, Stage.COMPLETED)

    known = await product.get(f"{path_of(generation_id)}?after=10", user)
    async with listening(product, f"{path_of(generation_id)}?after=9", user) as stream:
        rest = await stream.rest()

    assert (known.status_code, known.content) == (204, b"")
    assert [each.event for each in rest] == ["completed"]


async def test_a_failure_is_told_with_what_became_of_the_money_and_without_commands(
    product: Product, pool: Pool
) -> None:
    user = a_user()
    generation_id = await begun(pool, user)
    told = failure(FailureKind.ALREADY_CLOSED, "It is closed.").with_money("Nothing was charged.")
    async with pool.acquire() as connection, connection.transaction():
        await generations.record(connection, generation_id, Stage.FAILED, failure=told)

    async with listening(product, path_of(generation_id), user) as stream:
        end = (await stream.rest())[-1]

    assert (end.event, end.data["percent"], end.data["eta_s"]) == ("failed", 100, 0)
    assert end.data["failure"]["kind"] == "already_closed"
    assert end.data["failure"]["money"] == "Nothing was charged."
    assert "stillmotion" not in json.dumps(end.data)


async def test_between_events_a_stream_says_how_far_it_is_by_now(
    product: Product, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TICK_S", 0.05)
    user = a_user()
    generation_id = await begun(pool, user)
    await pool.execute(
        "UPDATE events SET at = at - interval '45 seconds'"
        " WHERE generation_id = $1 AND stage = 'generating'",
        generation_id,
    )

    # Also to a reader who knows each event.
    async with listening(product, f"{path_of(generation_id)}?after=6", user) as stream:
        first = await stream.heard()
        second = await stream.heard()

    assert (first.id, first.event, first.data["stage"]) == (None, "progress", "generating")
    assert 45 <= first.data["percent"] < second.data["percent"] < 60
    assert 0 < second.data["eta_s"] <= first.data["eta_s"] < 60


async def test_a_silent_stream_is_kept_open_by_comments(
    product: Product, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TICK_S", 0.02)
    monkeypatch.setattr(streams, "QUIET_S", 0.02)
    user = a_user()
    generation_id = await asked(pool, user)

    async with listening(product, path_of(generation_id), user) as stream:
        await stream.entered()
        reading = asyncio.create_task(stream.entered())
        async with asyncio.timeout(20):
            while stream.comments < 3:
                await asyncio.sleep(0.01)
        await enter(pool, generation_id, Stage.RESERVING)
        heard = await reading

    assert heard.event == "reserving"


async def test_a_key_that_is_revoked_ends_its_streams(
    api: Api, product: Product, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TICK_S", 0.02)
    monkeypatch.setattr(streams, "QUIET_S", 0.02)
    # A clock on which whatever was found is old at the next look.
    hours = itertools.count(step=3600)
    parts = dataclasses.replace(api.parts, keyring=Keyring(clock=lambda: float(next(hours))))
    user = a_user()
    generation_id = await asked(pool, user)

    async with (
        api_of(parts) as origin,
        a_product(api, origin=origin) as leaked,
        listening(leaked, path_of(generation_id), user) as stream,
    ):
        await stream.entered()
        await access.revoke(pool, leaked.holder.key.key_id)
        rest = await stream.rest()

    assert rest == []


async def test_streams_catch_up_after_the_database_has_dropped_who_listens(
    product: Product, pool: Pool
) -> None:
    user = a_user()
    generation_id = await begun(pool, user)

    async with (
        listening(product, f"{path_of(generation_id)}?after=6", user) as one,
        listening(product, ALL, user) as every,
    ):
        while (await every.entered()).event != "generating":
            pass
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'stillmotion notices'"
        )
        await enter(pool, generation_id, Stage.DOWNLOADING)
        missed = [await one.entered(), await every.entered()]
        await enter(pool, generation_id, Stage.SAVING)
        heard = [await one.entered(), await every.entered()]

    assert [each.event for each in missed] == ["downloading"] * 2
    assert [each.event for each in heard] == ["saving"] * 2


async def test_a_reader_who_takes_nothing_is_dropped_and_goes_on_where_it_was(
    api: Api, product: Product, pool: Pool
) -> None:
    user = a_user()
    generation_id = await begun(pool, user)
    much = 3000
    headers = {"Host": "x", "Connection": "close", **product.holder.headers(user)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    at = urlsplit(product.origin)
    # It takes a few kilobytes and then nothing.
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(0)
    await asyncio.get_running_loop().sock_connect(slow, (at.hostname, at.port))
    reader, writer = await asyncio.open_connection(sock=slow, limit=2048)
    writer.write(f"GET {path_of(generation_id)} HTTP/1.1\r\n{head}\r\n".encode())
    await reader.readline()

    seqs: list[int | None] = []
    async with listening(product, f"{path_of(generation_id)}?after=6", user) as fast:
        # A hundred at a time, so that only who takes nothing is late.
        for first_seq in range(7, much + 7, 100):
            await _park(pool, generation_id, first_seq, 100)
            seqs += [(await fast.entered()).id for _ in range(100)]
    taken = [int(line[4:]) for line in await _lines(reader) if line.startswith(b"id: ")]
    writer.close()
    resumed = {"Last-Event-ID": str(taken[-1])}
    async with listening(product, path_of(generation_id), user, resumed) as stream:
        first = await stream.entered()

    assert seqs[-1] == much + 6
    assert taken == [*range(1, len(taken) + 1)]
    assert len(taken) < much
    assert first.id == taken[-1] + 1


async def _park(pool: Pool, generation_id: str, first_seq: int, times: int) -> None:
    """Many large events, told by one notice."""
    told = failure(FailureKind.DEADLINE_PASSED, "It takes long. " * 200)
    await pool.execute(
        "INSERT INTO events (generation_id, seq, stage, data)"
        " SELECT $1::text, $2::integer + n, 'timed_out', $3::jsonb"
        " FROM generate_series(0, $4::integer - 1) AS n",
        generation_id,
        first_seq,
        {"failure": told.model_dump(mode="json")},
        times,
    )
    notice = f"{first_seq} {generation_id}"
    await pool.execute("SELECT pg_notify('stillmotion_events', $1)", notice)


async def _lines(reader: asyncio.StreamReader) -> list[bytes]:
    """All lines until the end, however long."""
    return (await asyncio.wait_for(reader.read(), 60)).split(b"\n")


async def test_nobody_follows_what_is_another_users_or_another_products(
    api: Api, product: Product, pool: Pool
) -> None:
    ann, bob = a_user(), a_user()
    anns = await begun(pool, ann)
    bobs = await begun(pool, bob)
    story = await asked(pool, ann, "podcast_maker")

    for generation_id in (bobs, story, anns[:12], "gen_unknown"):
        reply = await product.get(path_of(generation_id), ann)
        assert problem_in(reply)["kind"] == "unknown_generation"
        assert reply.status_code == 404
    async with listening(product, ALL, ann) as stream:
        await enter(pool, bobs, Stage.DOWNLOADING)
        await enter(pool, story, Stage.RESERVING)
        await enter(pool, anns, Stage.DOWNLOADING)
        heard = [await stream.entered() for _ in range(7)]

    assert {each.data["generation_id"] for each in heard} == {anns}
    assert heard[-1].event == "downloading"


@pytest.mark.parametrize("path", [path_of("gen_x"), ALL])
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"Last-Event-ID": "abc"}),
        ("", {"Last-Event-ID": "-1"}),
        ("", {"Last-Event-ID": "9" * 19}),
        ("?after=-1", {}),
        ("?after=1e3", {}),
        (f"?after={10**18}", {}),
    ],
)
async def test_a_number_that_can_be_no_events_is_refused(
    product: Product, path: str, query: str, headers: dict[str, str]
) -> None:
    reply = await product.get(path + query, a_user(), headers=headers)

    assert problem_in(reply)["kind"] == "invalid_request"
    assert reply.status_code == 422


async def test_one_stream_too_many_is_told_to_come_again(
    api: Api, product: Product, pool: Pool
) -> None:
    user = a_user()
    async with (
        Notices(api.parts.place.database) as notices,
        Hub(api.parts.pool, notices, followers_max=1) as hub,
        api_of(dataclasses.replace(api.parts, hub=hub)) as origin,
    ):
        narrow = dataclasses.replace(product, origin=origin)
        async with listening(narrow, ALL, user):
            refused = await narrow.get(ALL, user)
        async with asyncio.timeout(20):
            while hub.count:
                await asyncio.sleep(0.01)
        async with listening(narrow, ALL, user):
            pass

    assert refused.status_code == 503
    assert problem_in(refused)["kind"] == "too_many_streams"
    assert refused.headers["retry-after"] == "5"

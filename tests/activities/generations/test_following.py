"""What followers read: events with the progress that they stand for, of many at once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from activities.database.pool import STARTER_ROLE, Pool
from activities.generations import following
from activities.generations import repository as generations
from activities.generations.notices import Notices
from activities.generations.reading import Reader
from activities.media.store import MediaStore
from tests.activities.conftest import a_generation, settings_for_database
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.stages import Stage


async def entered(pool: Pool, generation_id: str, stage: Stage) -> None:
    async with pool.acquire() as connection, connection.transaction():
        told = failure(FailureKind.DEADLINE_PASSED, "It takes long.")
        failed = told if stage is Stage.TIMED_OUT else None
        assert await generations.record(connection, generation_id, stage, failure=failed)


async def test_an_event_stands_for_the_progress_of_its_moment(
    starter_database: Pool, database: Pool, store: MediaStore
) -> None:
    await a_generation(database, stage=Stage.GENERATING)
    then = await Reader(database, store).progress("gen_one")
    await entered(database, "gen_one", Stage.TIMED_OUT)
    await entered(database, "gen_one", Stage.DOWNLOADING)

    events = await following.told(starter_database, {"gen_one": 6}, generations=["gen_one"])

    generating, parked, downloading = (event.facts for event in events)
    assert [event.seq for event in events] == [6, 7, 8]
    assert generating.stage is Stage.GENERATING
    assert generating.generating_since == then.generating_since == parked.generating_since
    assert (generating.expected_s, generating.started_at) == (90, then.started_at)
    assert generating.downloading_since is None
    assert parked.failure is not None
    assert parked.failure.message == "It takes long."
    assert (downloading.downloading_since, downloading.failure) == (downloading.since, None)


async def test_events_of_many_are_read_at_once_in_the_order_of_their_writing(
    database: Pool,
) -> None:
    await a_generation(database, "gen_one", stage=Stage.RESERVING)
    await a_generation(database, "gen_two", stage=Stage.RESERVING)
    await entered(database, "gen_one", Stage.PROMPTING)

    events = await following.told(
        database, {"gen_two": 1, "gen_one": 2}, generations=["gen_one", "gen_two"]
    )

    assert [(event.facts.generation_id, event.seq) for event in events] == [
        ("gen_one", 2),
        ("gen_two", 1),
        ("gen_two", 2),
        ("gen_one", 3),
    ]


async def test_what_nobody_follows_is_left_out(database: Pool) -> None:
    for generation_id, user_id in (("gen_one", "ann"), ("gen_two", "ann"), ("gen_bobs", "bob")):
        await a_generation(database, generation_id, user_id=user_id, stage=Stage.RESERVING)
    first: dict[str, int] = dict.fromkeys(("gen_one", "gen_two", "gen_bobs"), 2)

    by_name = await following.told(database, first, generations=["gen_two"])
    by_user = await following.told(database, first, users=["bob"])

    assert [event.facts.generation_id for event in by_name] == ["gen_two"]
    assert [(event.user_id, event.source) for event in by_user] == [("bob", "api")]
    assert await following.told(database, first) == []
    assert await following.told(database, {}, users=["ann"]) == []


async def test_a_user_reads_on_where_something_has_happened_since_or_goes_on(
    database: Pool,
) -> None:
    for generation_id in ("gen_ended", "gen_old", "gen_open"):
        ends = generation_id != "gen_open"
        stage = Stage.COMPLETED if ends else Stage.GENERATING
        await a_generation(database, generation_id, stage=stage)
    await a_generation(database, "gen_bobs", user_id="bob")
    # All but the end of one is a day old.
    await database.execute(
        "UPDATE events SET at = at - interval '1 day'"
        " WHERE NOT (generation_id = 'gen_ended' AND stage = 'completed')"
    )
    await database.execute(
        "UPDATE generations SET stage_at = stage_at - interval '1 day'"
        " WHERE generation_id <> 'gen_ended'"
    )

    now = datetime.now(UTC)
    of_an_hour = await following.recent(database, ["ann"], now - timedelta(hours=1))
    of_two_days = await following.recent(database, ["ann", "bob"], now - timedelta(days=2))

    assert of_an_hour == {"gen_ended": 10, "gen_open": 6}
    assert of_two_days == dict.fromkeys(("gen_ended", "gen_old", "gen_open", "gen_bobs"), 1)


async def test_the_moment_of_an_event_is_told_also_where_it_is_gone(database: Pool) -> None:
    await a_generation(database, stage=Stage.RESERVING)
    first, last = await following.told(database, {"gen_one": 1}, generations=["gen_one"])

    assert await following.moment_of(database, last.event_id) == last.facts.since
    assert await following.moment_of(database, last.event_id + 1000) == last.facts.since
    assert await following.moment_of(database, first.event_id - 1) is None


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.times_missed = 0

    def heard(self, generation_id: str, seq: int) -> None:
        self.events.append((generation_id, seq))

    def missed(self) -> None:
        self.times_missed += 1


@pytest.fixture
async def notices(database_url: str) -> AsyncIterator[Notices]:
    settings = settings_for_database(database_url)
    async with Notices(settings, role=STARTER_ROLE) as listening:
        yield listening


async def test_a_listener_hears_every_event_of_every_generation_in_order(
    notices: Notices, database: Pool
) -> None:
    listener = Heard()
    with notices.every(listener), notices.of("gen_two") as news:
        # Somebody's event is news when the connection is made, and again for each event.
        await news.wait()
        await a_generation(database, "gen_one", stage=Stage.RESERVING)
        await database.execute("SELECT pg_notify('stillmotion_events', 'nonsense')")
        news.clear()
        await a_generation(database, "gen_two", stage=Stage.RESERVING)
        await news.wait()
        while len(listener.events) < 4:
            news.clear()
            await news.wait()

    assert listener.events == [("gen_one", 1), ("gen_one", 2), ("gen_two", 1), ("gen_two", 2)]
    assert listener.times_missed == 1


async def test_a_listener_is_told_when_notices_may_have_been_lost(
    notices: Notices, database: Pool
) -> None:
    listener = Heard()
    with notices.every(listener), notices.of("gen_one") as news:
        await news.wait()
        news.clear()
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'stillmotion notices'"
        )
        await news.wait()

    assert listener.times_missed == 2

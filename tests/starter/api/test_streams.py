"""What one stream of events keeps while it is open."""

import gc
import weakref
from collections.abc import Generator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

from activities.generations.following import Told
from starter.api.hub import Follower
from starter.api.streams import OfAll, Stream, pieces
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage


@contextmanager
def a_follower() -> Generator[Follower]:
    yield Follower(10)


async def always() -> bool:
    return True


async def test_what_a_stream_has_told_is_not_kept() -> None:
    now = datetime.now(UTC)
    facts = ProgressFacts(
        generation_id="gen_one", stage=Stage.COMPLETED, since=now, started_at=now, expected_s=60
    )
    before = [Told(1, "ann", Source.API, 1, facts)]
    kept = weakref.ref(facts)
    del facts

    async def read() -> list[Told]:
        return [before.pop()]

    stream = Stream(OfAll(0), [Source.API])
    following = a_follower()
    async with aclosing(pieces(stream, following, read, may_listen=always, ends=False)) as sent:
        told = [await anext(sent) for _ in range(3)]
        gc.collect()
        is_gone = kept() is None

    assert b"event: completed" in told[1]
    assert is_gone

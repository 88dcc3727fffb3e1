"""Users who leave something everywhere, their erasure, and where anything of them still stands."""

import asyncio
import json
import uuid
from typing import Any

import asyncpg
from stacks import CHELSEA, COFFEE, SMALL, Stack, at_stage, finished, until

from activities.generations.repository import user_hash
from activities.media.store import MediaStore
from tests.activities.callbacks.listening import listening
from tests.security.traces import columns_of, found_in, histories_of
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage

SUMS = """
SELECT sum(videos_reserved), sum(videos_settled), sum(reserved_usd_micros), sum(settled_usd_micros)
FROM {}
"""
"""What is in the books, of `ledger` or of `balances`."""


class Person:
    """A user whose every word can be recognised."""

    def __init__(self) -> None:
        self.id = f"person-{uuid.uuid4().hex}"
        self.mark = f"words{uuid.uuid4().hex}"
        self.generations: list[str] = []

    @property
    def traces(self) -> dict[str, str]:
        return {"the user's id": self.id, "the user's words": self.mark}


async def a_person_with_everything(stack: Stack) -> Person:
    """Videos of an LLM's prompt and of their own, a failure, a refusal, a batch, a callback."""
    person = Person()
    await stack.cli("plans", "assign", person.id, "pro")
    await stack.faults({"output": SMALL, "job": {"kind": "failed", "match": "fail this"}})
    mine: dict[str, Any] = {"user_id": person.id}
    async with listening() as listener:
        video = await stack.start(
            f"{person.mark} rises",
            idempotency_key=f"key-{person.mark}",
            callback_url=f"{listener.url}/{person.mark}",
            source=Source.PODCAST_MAKER,
            **mine,
        )
        scene = await stack.client.animate_scene(
            CHELSEA, {"title": person.mark}, {"plot": person.mark}, **mine
        )
        failed = await stack.start(f"fail this {person.mark}", **mine)
        refused = await stack.client.image_to_video(
            f"https://127.0.0.1/{person.mark}.jpg", person.mark, **mine
        )
        item = {"operation": "image-to-video", "image": COFFEE, "prompt": person.mark}
        batch = await stack.client.batch(
            [item], user_id=person.id, idempotency_key=f"batch-{person.mark}"
        )
        await asyncio.gather(finished(video), finished(scene), batch.result(timeout=60))
        await asyncio.gather(*(at_stage(each, Stage.FAILED) for each in (failed, refused)))
        await until(lambda: _all_told(stack))
    rows = await stack.rows("SELECT generation_id FROM generations WHERE user_id = $1", person.id)
    person.generations = [row[0] for row in rows]
    assert len(person.generations) == 5
    return person


async def a_person_with_a_video(stack: Stack) -> Person:
    """One video, and no more."""
    person = Person()
    await stack.faults({"output": SMALL})
    video = await stack.start(person.mark, user_id=person.id)
    await finished(video)
    person.generations = [video.id]
    return person


async def _all_told(stack: Stack) -> bool:
    return not await stack.value("SELECT count(*) FROM callbacks WHERE state = 'delivering'")


async def erased(stack: Stack, person: Person) -> dict[str, Any]:
    """Erase a person by the command line; what it tells."""
    code, out, err = await stack.cli("users", "erase", person.id, "--yes", "-o", "json")
    assert code == 0, err
    return json.loads(out)


async def traces_of(stack: Stack, person: Person) -> list[str]:
    """Where anything of a person stands: in tables, histories, or the names of files."""
    owner = await owner_of(stack, person.id)
    columns, histories = await columns_of(stack), await histories_of(stack)
    stored = {"the store": [each.key async for each in _store_of(stack).list()]}
    listed = {"ids of histories": list(histories)}
    marks = person.traces | {"the user's hash": owner}
    marks |= {f"history of {each}": each for each in person.generations}
    return [
        *found_in(columns, person.traces | {"the user's hash": owner}),
        *found_in(histories | listed, marks),
        *found_in(stored, {"the user's hash": owner}),
    ]


def _store_of(stack: Stack) -> MediaStore:
    return MediaStore.from_url(stack.address.media)


async def owner_of(stack: Stack, user_id: str) -> str:
    """The keyed hash that stands for a user outside the database."""
    connection = await asyncpg.connect(stack.address.database)
    try:
        return await user_hash(connection, user_id)
    finally:
        await connection.close()


async def nothing_left(stack: Stack, person: Person) -> bool:
    """To be waited for, since Temporal's lists lag behind its histories."""
    return not await traces_of(stack, person)

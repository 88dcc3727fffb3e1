"""`users erase` with the media in a bucket and with encrypted payloads: as little is left there."""

import base64
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from stacks import Stack, running_dev, until
from temporalio.service import RPCError, RPCStatusCode

from starter import VideoClient
from tests.s3 import MEDIA_URL, S3, running_s3
from tests.security.persons import (
    SUMS,
    Person,
    a_person_with_a_video,
    a_person_with_everything,
    erased,
    nothing_left,
    owner_of,
    traces_of,
)
from tests.security.traces import columns_of, found_in
from workflows.contracts.payloads import ENCRYPTED
from workflows.contracts.stack import STACK_FILE

pytestmark = [pytest.mark.slow, pytest.mark.tools()]  # Python only, and half a minute of it.

KEY = base64.b64encode(os.urandom(32)).decode()


class Place(NamedTuple):
    """A stack whose files are in a bucket."""

    stack: Stack
    s3: S3


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Place]:
    # Not pytest's folder: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="sm-erb-") as folder:
        home = Path(folder) / "bucket-stack"
        home.mkdir()
        async with AsyncExitStack() as opened:
            s3 = await opened.enter_async_context(running_s3(Path(folder)))
            patch = opened.enter_context(pytest.MonkeyPatch.context())
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            with pytest.MonkeyPatch.context() as given:
                given.setenv("STILLMOTION_PAYLOAD_KEYS", f"k1:{KEY}")
                _, of_dev = await opened.enter_async_context(
                    running_dev(Path(folder) / "stack", "--no-workers", "--sandbox-work-s=0.2")
                )
            address = of_dev.model_copy(update={"media": MEDIA_URL})
            (home / STACK_FILE).write_text(address.model_dump_json(), "utf-8")
            client = await opened.enter_async_context(await VideoClient.connect(home))
            stack = Stack(home, address, client)
            await stack.cli("callbacks", "secret", "podcast_maker")
            await opened.enter_async_context(stack.worker())
            yield Place(stack, s3)


async def _histories(stack: Stack, person: Person) -> dict[tuple[str, str], bytes]:
    """As Temporal keeps them, those that bear a person's hash or an id of theirs: run → events."""
    owner, found = await owner_of(stack, person.id), dict[tuple[str, str], bytes]()
    async for each in stack.client.temporal.list_workflows():
        info = each.raw_info.SerializeToString()
        if owner.encode() in info or any(one in each.id for one in person.generations):
            handle = stack.client.temporal.get_workflow_handle(each.id, run_id=each.run_id)
            events = [event.SerializeToString() async for event in handle.fetch_history_events()]
            found[each.id, each.run_id] = b"".join(events)
    return found


async def _is_there(stack: Stack, workflow_id: str, run_id: str) -> bool:
    try:
        await stack.client.temporal.get_workflow_handle(workflow_id, run_id=run_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def _books(stack: Stack) -> list[tuple[Any, ...]]:
    return await stack.rows(SUMS.format("ledger")) + await stack.rows(SUMS.format("balances"))


async def test_nothing_of_an_erased_user_is_left_in_bucket_database_or_encrypted_histories(
    place: Place,
) -> None:
    stack, s3 = place
    stays = await a_person_with_a_video(stack)
    of_others, traces_of_others = await s3.objects(), await traces_of(stack, stays)
    gone = await a_person_with_everything(stack)
    owner, books = await owner_of(stack, gone.id), await _books(stack)
    objects, histories = await s3.objects(), await _histories(stack, gone)

    told = await erased(stack, gone)

    # What there was to be erased: each kind of file, and histories that nobody reads unkeyed.
    folders = {each.split("/")[1] for each in objects if owner in each}
    assert folders == {"inputs", "outputs", "posters"}
    assert len(histories) >= 7
    assert all(ENCRYPTED in each and gone.mark.encode() not in each for each in histories.values())
    # What is left of it.
    await until(lambda: nothing_left(stack, gone), 20)
    assert not any([await _is_there(stack, *each) for each in histories])
    assert sorted(await s3.objects()) == sorted(of_others)
    assert await s3.unfinished_uploads() == []
    assert sorted(await traces_of(stack, stays)) == sorted(traces_of_others)
    assert told["counts"]["files"] == len(set(objects) - set(of_others))
    await _amounts_stay(stack, gone, told["pseudonym"], books)


async def _amounts_stay(
    stack: Stack, person: Person, pseudonym: str, books: list[tuple[Any, ...]]
) -> None:
    assert await _books(stack) == books
    entries = "SELECT count(*) FROM ledger JOIN balances USING (balance_id) WHERE user_id = $1"
    assert await stack.value(entries, pseudonym) > 0
    assert found_in(await columns_of(stack), person.traces) == []

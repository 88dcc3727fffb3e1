"""Callbacks beside real workers: a dead receiver delays no video, a killed worker loses nothing."""

import base64
import signal
import uuid
from collections.abc import AsyncIterator

import pytest
from google.protobuf.json_format import MessageToJson
from pydantic import SecretStr
from stacks import SMALL, Stack, finished, until
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.callbacks.signing import Signers
from activities.database.pool import connect
from activities.database.settings import DatabaseSettings
from tests.activities.callbacks.listening import Listener, listening
from workflows.contracts.callbacks import CallbacksEnd
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.requests import Source
from workflows.contracts.stages import Status

SOURCE = Source.PODCAST_MAKER


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as receiver:
        yield receiver


@pytest.fixture
async def secret(stack: Stack) -> str:
    settings = DatabaseSettings(
        database_url=SecretStr(stack.address.database), database_connections_max=2
    )
    async with connect(settings) as pool:
        return (await Signers(pool, stack.client.place.callbacks).make(SOURCE, rotate=True)).text


async def told_all(stack: Stack, generation_id: str) -> CallbacksEnd:
    """How the workflow that tells a receiver ended."""
    handle = stack.client.temporal.get_workflow_handle(
        callbacks_id_for(generation_id), result_type=CallbacksEnd
    )
    return await handle.result()


async def histories_of(stack: Stack, generation_id: str) -> str:
    """Everything that Temporal keeps of a generation and its callbacks, payloads decoded."""
    texts: list[str] = []
    for workflow_id in (generation_id, callbacks_id_for(generation_id)):
        handle = stack.client.temporal.get_workflow_handle(workflow_id)
        async for event in handle.fetch_history_events():
            texts.append(MessageToJson(event))
            texts += [
                base64.b64decode(part).decode("utf-8", "replace")
                for part in _base64_parts(MessageToJson(event))
            ]
    return "\n".join(texts)


def _base64_parts(text: str) -> list[str]:
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    return [line.split('"')[3] for line in lines if line.startswith('"data": "')]


@pytest.mark.slow
async def test_a_receiver_that_is_down_delays_no_video_and_is_told_everything_later(
    stack: Stack, listener: Listener, secret: str
) -> None:
    await stack.faults({"output": SMALL})
    listener.answers(503)
    async with stack.worker():
        handle = await stack.start(callback_url=listener.url, source=SOURCE)

        generation = await finished(handle)

        before = list(listener.posts)
        assert generation.status is Status.COMPLETED
        assert {post.answer for post in before} <= {503}
        listener.answers(200)
        # The workflow may have just told it by itself: then there is nothing to retry.
        await stack.client.callbacks.retry(handle.id)
        end = await told_all(stack, handle.id)
        kept = await histories_of(stack, handle.id)

    assert end.state == "delivered"
    assert [post.seq for post in listener.taken] == list(range(1, end.delivered_seq + 1))
    assert listener.taken[-1].data["stage"] == "completed"
    assert all(post.verified_by(secret) for post in listener.taken)
    assert {post.seq for post in before} <= {1}
    assert handle.id in kept
    assert secret.removeprefix("whsec_") not in kept
    assert (await stack.client.callbacks.find(generation_id=handle.id))[0].state == "delivered"


@pytest.mark.slow
@pytest.mark.tools
async def test_a_worker_killed_in_mid_delivery_loses_no_event(
    stack: Stack, listener: Listener, secret: str
) -> None:
    await stack.faults({"output": SMALL})
    listener.answers(200, 200, "hang")
    async with stack.worker() as worker:
        handle = await stack.start(callback_url=listener.url, source=SOURCE)
        await listener.until(3)
        await worker.signal(signal.SIGKILL)
    listener.answers(200)

    async with stack.worker():
        generation = await finished(handle)
        end = await told_all(stack, handle.id)

    assert generation.status is Status.COMPLETED
    assert end.state == "delivered"
    assert [post.seq for post in listener.taken] == list(range(1, end.delivered_seq + 1))
    again = [post.headers["webhook-id"] for post in listener.posts if post.seq == 3]
    assert len(again) == 2
    assert len(set(again)) == 1


async def test_a_wire_caller_whose_receiver_can_not_be_told_is_refused_with_nothing_held(
    stack: Stack, listener: Listener, secret: str
) -> None:
    generation_id = f"wire-{uuid.uuid4().hex}"
    request = {
        "user_id": "wire",
        "source": SOURCE.value,
        "image": {"media_id": "med_" + "a" * 26},
        "prompt": "x",
        "callback_url": "http://169.254.169.254/latest/meta-data",
    }
    async with stack.worker():
        handle = await stack.client.temporal.start_workflow(
            "ImageToVideo", request, id=generation_id, task_queue=stack.address.task_queue
        )
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
        end = await told_all(stack, generation_id)

    cause = ended.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "invalid_request"
    assert "callback_url: the URL names a link-local or metadata address" in cause.message
    assert end.state == "given_up"
    assert listener.posts == []
    held = "SELECT count(*) FROM reservations WHERE generation_id = $1"
    assert await stack.value(held, generation_id) == 0


async def test_every_stage_is_on_record_before_it_is_told(
    stack: Stack, listener: Listener, secret: str
) -> None:
    await stack.faults({"output": SMALL})
    async with stack.worker():
        handle = await stack.start(callback_url=listener.url, source=SOURCE)
        await finished(handle)
        await until(lambda: _is_delivered(stack, handle.id))

    events = await stack.client.events(handle.id)
    assert [post.seq for post in listener.posts] == [event.seq for event in events]
    assert [post.data["stage"] for post in listener.posts] == [event.stage for event in events]
    assert all(post.at >= event.at for post, event in zip(listener.posts, events, strict=True))


async def _is_delivered(stack: Stack, generation_id: str) -> bool:
    found = await stack.client.callbacks.find(generation_id=generation_id)
    return bool(found) and found[0].state == "delivered"

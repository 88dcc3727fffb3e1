"""Deliveries across workers and owners: taken over, given up, taken up again."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.callbacks.repository import Callbacks, Superseded
from tests.activities.callbacks.conftest import (
    FAILED,
    TASK,
    Office,
    deliver,
    row_of,
)
from tests.activities.callbacks.listening import Listener
from workflows.contracts.activities import ForGeneration
from workflows.contracts.callbacks import Delivery, GiveUp
from workflows.contracts.stages import Stage


async def test_a_stopping_worker_hands_the_wait_over(office: Office, listener: Listener) -> None:
    await office.accepted()
    environment = ActivityEnvironment()
    delivering = asyncio.create_task(environment.run(office.activities().deliver, TASK))
    await listener.until(1)
    environment.worker_shutdown()

    with pytest.raises(ApplicationError, match="another one goes on") as ended:
        await asyncio.wait_for(delivering, 5)

    assert not ended.value.non_retryable


async def test_a_worker_that_died_after_an_answer_has_the_event_told_again_and_none_lost(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    await office.goes_on(Stage.RESERVING, Stage.FAILED)
    listener.answers(200, "hang", 200)
    killed = asyncio.create_task(deliver(office.activities()))
    await listener.until(2)
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed

    done = await deliver(office.activities())

    assert done == Delivery(state="done", delivered_seq=3)
    assert [post.seq for post in listener.posts] == [1, 2, 2, 3]


async def test_a_worker_that_thaws_after_another_took_over_stops(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    await office.goes_on(Stage.RESERVING, Stage.FAILED)
    listener.answers("hang")
    frozen = asyncio.create_task(deliver(office.activities()))
    await listener.until(1)
    await office.pool.execute("UPDATE callbacks SET delivered_seq = 3")
    listener.answers(200)
    listener.closing.set()

    with pytest.raises(ApplicationError, match="told by another worker") as ended:
        await frozen

    # Its own receiver closed without a word; that is no failure of what is next by now.
    assert not ended.value.non_retryable
    row = await row_of(office.pool)
    assert (row["told"], row["failures"]) == (3, 0)


async def test_an_event_that_another_worker_told_meanwhile_is_not_counted_twice(
    office: Office,
) -> None:
    await office.accepted()
    callbacks = Callbacks(office.pool)
    await callbacks.open("gen_one")
    await callbacks.advance("gen_one", 1)

    with pytest.raises(Superseded):
        await callbacks.advance("gen_one", 1)


async def test_a_lost_notice_is_made_up_for_by_looking_again(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    activities = replace(office.activities(), reread_s=0.1)
    delivering = asyncio.create_task(deliver(activities))
    await listener.until(1)
    await office.pool.execute(
        "INSERT INTO events (generation_id, seq, stage) VALUES ('gen_one', 2, 'failed')"
    )
    await office.pool.execute("UPDATE generations SET stage = 'failed', last_seq = 2")

    done = await asyncio.wait_for(delivering, 20)

    assert done.state == "done"


async def test_giving_up_is_on_record_and_taking_up_again_starts_anew(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    await office.goes_on(Stage.RESERVING, Stage.FAILED)
    listener.answers(200, 500)
    activities = office.activities()
    await deliver(activities)
    told = GiveUp(generation_id="gen_one", reason="127.0.0.1 answered with HTTP 500")

    given_up = await ActivityEnvironment().run(activities.give_up, told)
    row = await row_of(office.pool)
    again = await deliver(activities)

    assert given_up.untold == 2
    assert (row["state"], row["evidence"], row["failures"]) == ("given_up", told.reason, 1)
    assert await Callbacks(office.pool).given_up_of_late() == 0
    assert (again.state, again.failures) == ("failed", 1)
    assert (await row_of(office.pool))["state"] == "delivering"


async def test_a_generation_that_was_asked_for_without_a_receiver_has_none(office: Office) -> None:
    await office.accepted("gen_two", callback_url=None)
    task = ForGeneration(generation_id="gen_two")

    with pytest.raises(ApplicationError, match="no generation with a callback_url") as ended:
        await ActivityEnvironment().run(office.activities().deliver, task)

    assert ended.value.non_retryable


async def test_a_refused_generation_that_starts_over_is_told_on_under_its_new_url(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    await office.goes_on(Stage.FAILED, failure=FAILED)
    await deliver(office.activities())
    await office.accepted(prompt="another sea", callback_url=f"{listener.url}&again=1")
    await office.goes_on(Stage.FAILED, failure=FAILED)

    done = await deliver(office.activities())

    assert done == Delivery(state="done", delivered_seq=4)
    assert [post.seq for post in listener.posts] == [1, 2, 3, 4]
    assert listener.posts[-1].path.endswith("again=1")


async def test_owners_see_their_own_receivers_only(office: Office) -> None:
    await office.accepted()
    callbacks = Callbacks(office.pool)
    await callbacks.open("gen_one")

    assert len(await callbacks.find(user_id="ann", state="delivering")) == 1
    assert await callbacks.find(user_id="bob") == []
    assert await callbacks.find(state="given_up") == []
    with pytest.raises(LookupError, match="no generation"):
        await callbacks.require("gen_one", "bob")
    assert datetime.now(UTC) >= (await callbacks.find())[0].changed_at

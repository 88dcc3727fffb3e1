"""Telling a receiver: in order, once, signed; and what becomes of receivers that misbehave."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from activities.callbacks.repository import Callbacks, Receiver
from activities.callbacks.rules import callback_policy
from activities.callbacks.signing import Signers
from activities.callbacks.telling import Teller
from activities.database.pool import Pool
from activities.generations.reading import Event
from activities.media.addresses import why_not_public
from activities.media.fetch_policies import FetchPolicy
from tests.activities.callbacks.conftest import (
    FAILED,
    OTHER_KEY,
    TASK,
    Office,
    deliver,
    row_of,
    settings_with,
)
from tests.activities.callbacks.listening import Behaviour, Listener
from tests.activities.conftest import usual_way_to
from workflows.contracts.callbacks import Delivery
from workflows.contracts.ids import asset_id_for
from workflows.contracts.stages import Stage


async def _due(pool: Pool) -> tuple[Receiver, list[Event]]:
    callbacks = Callbacks(pool)
    await callbacks.open(TASK.generation_id)
    return await callbacks.due(TASK.generation_id)


async def test_every_stage_arrives_once_and_in_order_as_it_comes(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    delivering = asyncio.create_task(deliver(office.activities()))
    await listener.until(1)
    for count, stage in enumerate(usual_way_to(Stage.COMPLETED), start=2):
        await office.goes_on(stage)
        # It came by a notice: nobody looks again before a minute is over.
        await listener.until(count)

    done = await delivering

    assert done == Delivery(state="done", delivered_seq=10)
    assert [post.seq for post in listener.posts] == list(range(1, 11))
    assert [post.data["stage"] for post in listener.posts] == [
        "accepted",
        *usual_way_to(Stage.COMPLETED),
    ]
    row = await row_of(office.pool)
    assert (row["state"], row["told"], row["events"]) == ("delivered", 10, 10)


async def test_a_message_says_what_happened_and_holds_no_prompt_and_no_url(
    office: Office, listener: Listener
) -> None:
    await office.accepted(idempotency_key="order-7", prompt="a very secret sea")
    *way, last = usual_way_to(Stage.COMPLETED)
    await office.goes_on(*way, data={"quoted_usd_micros": 500_000, "internal": "gpu 7"})
    await office.goes_on(last, data={"cost_usd_micros": 480_000})

    await deliver(office.activities())

    end = listener.posts[-1]
    at = (await office.pool.fetch("SELECT at FROM events ORDER BY seq"))[-1]["at"]
    assert datetime.fromisoformat(end.data.pop("at")) == at
    assert {name: value for name, value in end.data.items() if name != "at"} == {
        "generation_id": "gen_one",
        "seq": 10,
        "stage": "completed",
        "status": "completed",
        "operation": "image-to-video",
        "source": "api",
        "idempotency_key": "order-7",
        "cost_usd_micros": 480_000,
        "asset_id": asset_id_for("gen_one"),
    }
    assert listener.posts[2].data["quoted_usd_micros"] == 500_000
    everything = "".join(post.body for post in listener.posts)
    assert "secret sea" not in everything
    assert "gpu 7" not in everything
    assert "http" not in everything


async def test_a_failure_is_told_with_what_became_of_the_money(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    await office.goes_on(Stage.FAILED, failure=FAILED)

    done = await deliver(office.activities())

    assert done.state == "done"
    assert listener.posts[-1].data["failure"] == FAILED.model_dump(mode="json")
    assert listener.posts[-1].data["status"] == "failed"


async def test_a_message_is_signed_so_that_the_receivers_library_accepts_it(
    office: Office, listener: Listener, secret: str
) -> None:
    await office.accepted()
    await office.goes_on(Stage.FAILED, failure=FAILED)

    await deliver(office.activities())

    first = listener.posts[0]
    assert all(post.verified_by(secret) for post in listener.posts)
    assert not first._replace(body=first.body.replace("accepted", "completed")).verified_by(secret)
    assert first.headers["Content-Type"] == "application/json"
    assert first.path == "/hook?token=t0k3n"


async def test_what_is_sent_again_has_the_same_id(office: Office, listener: Listener) -> None:
    await office.accepted()
    await office.goes_on(Stage.FAILED, failure=FAILED)
    listener.answers(503, 200)
    await deliver(office.activities())

    await deliver(office.activities())

    ids = [post.headers["webhook-id"] for post in listener.posts]
    assert [post.seq for post in listener.posts] == [1, 1, 2]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        (500, "127.0.0.1 answered with HTTP 500"),
        (404, "127.0.0.1 answered with HTTP 404"),
        (302, "127.0.0.1 answered with HTTP 302; redirects are not followed"),
        ("hang", "127.0.0.1 did not finish within 0.5 s"),
        ("drip", "127.0.0.1 did not finish within 0.5 s"),
    ],
)
async def test_a_receiver_that_fails_is_counted_and_its_event_stays_due(
    office: Office, listener: Listener, answer: Behaviour, evidence: str
) -> None:
    await office.accepted()
    listener.redirect_to = listener.url
    listener.answers(200, answer)
    await office.goes_on(Stage.RESERVING)
    activities = office.activities(total_timeout_s=0.5)

    first = await deliver(activities)
    second = await deliver(activities)

    assert (first.state, first.delivered_seq, first.failures) == ("failed", 1, 1)
    assert (second.failures, second.failing_since) == (2, first.failing_since)
    assert second.evidence == evidence
    assert [post.seq for post in listener.posts] == [1, 2, 2]


async def test_a_success_starts_the_count_anew(office: Office, listener: Listener) -> None:
    await office.accepted()
    await office.goes_on(Stage.RESERVING)
    listener.answers(500, 200, 500)
    activities = office.activities()
    await deliver(activities)

    again = await deliver(activities)

    assert (again.delivered_seq, again.failures) == (1, 1)


async def test_deliveries_beyond_the_places_wait_and_have_their_whole_time(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    await office.goes_on(Stage.FAILED, failure=FAILED)
    receiver, (event, *_) = await _due(office.pool)
    policy = replace(callback_policy(office.settings), total_timeout_s=0.5)
    teller = Teller(office.signers, policy, at_once_max=1)
    ended: list[str] = []

    async def tell() -> None:
        ended.append((await teller.tell(listener.url, receiver.message(event))).state)

    listener.answers("hang", 200)
    first = asyncio.create_task(tell())
    await listener.until(1)

    await asyncio.gather(first, tell())

    # Side by side the second one would be done long before the first one is given up.
    assert ended == ["failed", "taken"]


async def test_a_receiver_that_is_not_there_fails_without_its_url(
    office: Office, listener: Listener
) -> None:
    await office.accepted(callback_url="http://127.0.0.1:9/hook?token=t0k3n")

    told = await deliver(office.activities())

    assert told.evidence == "the connection to 127.0.0.1 failed: ConnectError"
    assert (await row_of(office.pool))["host"] == "127.0.0.1"


async def test_a_receiver_that_has_gone_for_good_is_not_asked_again(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    await office.goes_on(Stage.RESERVING)
    listener.answers(410)

    told = await deliver(office.activities())

    assert (told.state, told.evidence) == ("refused", "127.0.0.1 answered with HTTP 410")
    assert len(listener.posts) == 1


async def test_an_endless_answer_is_not_read(office: Office, listener: Listener) -> None:
    await office.accepted()
    await office.goes_on(Stage.FAILED, failure=FAILED)
    listener.answers("flood")

    done = await deliver(office.activities())

    assert done.state == "done"
    # What the network's own buffers hold at most, for two answers.
    assert listener.sent_bytes < 20_000_000


async def test_a_name_that_leads_to_a_private_address_is_not_called(
    office: Office, listener: Listener
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        return ["127.0.0.1"]

    port = listener.url.split(":")[2].split("/")[0]
    await office.accepted(callback_url=f"http://hooks.example.com:{port}/hook")
    policy = FetchPolicy(lambda _: None, why_not_public, 0, resolver=resolve)
    activities = replace(office.activities(), teller=Teller(office.signers, policy))

    told = await deliver(activities)

    assert told.state == "refused"
    assert "this machine" in told.evidence
    assert listener.posts == []


async def test_a_url_that_was_allowed_once_is_not_called_when_it_no_longer_is(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    strict = Teller(office.signers, callback_policy(settings_with(private=False)))

    told = await deliver(replace(office.activities(), teller=strict))

    assert told.state == "refused"
    assert told.evidence == "the URL begins with http://; allowed: https://"
    assert listener.posts == []


async def test_without_a_secret_nothing_is_sent(office: Office, listener: Listener) -> None:
    await office.accepted(source="podcast_maker")

    told = await deliver(office.activities())

    assert told.state == "refused"
    assert "stillmotion callbacks secret podcast_maker" in told.evidence
    assert listener.posts == []


async def test_a_worker_with_another_key_sends_nothing_and_may_be_mended(
    office: Office, listener: Listener
) -> None:
    await office.accepted()
    others = Signers(office.pool, settings_with(OTHER_KEY))
    teller = Teller(others, callback_policy(office.settings))

    told = await deliver(replace(office.activities(), teller=teller))

    assert told.state == "failed"
    assert "STILLMOTION_SECRET_KEY" in told.evidence
    assert listener.posts == []

"""Who may call the API: keys, the user they act for, sessions; and what each mistake is told."""

import dataclasses
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from activities.access import repository as access
from activities.access.keys import new_secret
from activities.database.pool import Pool
from starter.api.app import create_app
from starter.api.callers import CallerOf
from starter.api.keyring import KEPT_S, Keyring
from starter.api.parts import Parts
from starter.api.rates import Rates
from starter.api.serving import listener_at, served
from tests.starter.api.conftest import Api
from tests.starter.api.holders import Browser, Holder, a_browser, a_holder

PROBLEM = "application/problem+json"
ALL_AT_ONCE = 6_000_000
"""Attempts a minute: no test but those of the limit meets it."""


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Door:
    """An API with a route that says who asks."""

    origin: str
    parts: Parts
    pool: Pool
    http: httpx.AsyncClient
    clock: Clock

    @property
    def url(self) -> str:
        return f"{self.origin}/v1/who"

    async def ask(self, headers: Any = None, method: str = "GET") -> httpx.Response:
        return await self.http.request(method, self.url, headers=headers)


@pytest.fixture(scope="module")
async def door(api: Api, owners: Pool) -> AsyncIterator[Door]:
    clock = Clock()
    parts = dataclasses.replace(
        api.parts,
        keyring=Keyring(clock=clock),
        rates=Rates(attempts_per_minute=ALL_AT_ONCE, clock=clock),
    )
    app = create_app(parts)

    async def who(caller: CallerOf) -> dict[str, Any]:
        return caller._asdict()

    app.add_api_route("/v1/who", who, methods=["GET", "POST"])
    with listener_at("127.0.0.1", 0) as listener:
        async with served(app, listener) as origin:
            yield Door(origin, parts, owners, api.http, clock)


@pytest.fixture(scope="module")
async def holder(door: Door) -> Holder:
    return await a_holder(door.pool)


@pytest.fixture(scope="module")
async def anns(door: Door) -> Holder:
    """The holder of a key that acts for one user."""
    return await a_holder(door.pool, user_id="ann")


@pytest.fixture
def browser(door: Door, holder: Holder) -> Browser:
    return a_browser(door.parts, holder.key.key_id, "ann")


async def test_a_key_and_a_user_say_who_asks(door: Door, holder: Holder) -> None:
    reply = await door.ask(holder.headers("ann"))

    assert reply.status_code == 200
    assert reply.json() == {
        "key_id": holder.key.key_id,
        "user_id": "ann",
        "sources": ["api", "story_writer"],
        "by_page": False,
    }


async def test_a_key_with_a_user_of_its_own_needs_no_other_header(door: Door, anns: Holder) -> None:
    replies = [await door.ask(anns.headers(user)) for user in (None, "ann")]

    assert [reply.json()["user_id"] for reply in replies] == ["ann", "ann"]


async def test_a_user_may_have_any_letters_in_utf_8(door: Door, holder: Holder) -> None:
    headers = [
        (b"Authorization", f"Bearer {holder.secret}".encode()),
        (b"Stillmotion-User", "Jörg 名前".encode()),
    ]

    reply = await door.ask(headers)

    assert reply.json()["user_id"] == "Jörg 名前"


async def test_the_schemes_name_may_be_written_as_one_likes(door: Door, holder: Holder) -> None:
    headers = {**holder.headers(), "Authorization": f"bearer {holder.secret}"}

    assert (await door.ask(headers)).status_code == 200


def wrong_headers() -> dict[str, Any]:
    """What says of nobody who they are."""
    return {
        "nothing": {},
        "a user alone": {"Stillmotion-User": "ann"},
        "an empty header": {"Authorization": ""},
        "no secret": {"Authorization": "Bearer"},
        "a secret alone": {"Authorization": new_secret()},
        "another scheme": {"Authorization": f"Basic {new_secret()}"},
        "an unknown secret": {"Authorization": f"Bearer {new_secret()}"},
        "something long": {"Authorization": f"Bearer sm_{'a' * 5000}"},
        "two of them": [("Authorization", f"Bearer {new_secret()}")] * 2,
        "a session of nobody": {"Cookie": "stillmotion=abc.def"},
    }


@pytest.mark.parametrize("name", wrong_headers())
async def test_who_can_not_say_who_they_are_is_told_the_header_and_never_its_value(
    door: Door, name: str
) -> None:
    sent = wrong_headers()[name]

    reply = await door.ask(sent)

    assert (reply.status_code, reply.headers["content-type"]) == (401, PROBLEM)
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.json()["type"] == "urn:stillmotion:problem:not_authenticated"
    assert reply.json()["detail"].startswith("Authorization: ")
    for _, value in httpx.Headers(sent).multi_items():
        assert value not in reply.text or not value or value == "Bearer"


async def test_a_good_key_beside_another_one_is_no_key(door: Door, holder: Holder) -> None:
    headers = [*holder.headers().items(), ("Authorization", f"Bearer {new_secret()}")]

    assert (await door.ask(headers)).status_code == 401


async def test_an_unknown_an_ended_and_a_revoked_secret_are_told_the_same(door: Door) -> None:
    ended, revoked = await a_holder(door.pool), await a_holder(door.pool)
    await access.rotate(door.pool, ended.key.key_id, keep_old_s=0)
    await access.revoke(door.pool, revoked.key.key_id)

    replies = [
        await door.ask({"Authorization": f"Bearer {secret}"})
        for secret in (new_secret(), ended.secret, revoked.secret)
    ]

    assert {(reply.status_code, reply.text) for reply in replies} == {(401, replies[0].text)}


async def test_a_revoked_key_ends_within_the_seconds_that_it_is_kept(door: Door) -> None:
    holder = await a_holder(door.pool)
    assert (await door.ask(holder.headers())).status_code == 200
    await access.revoke(door.pool, holder.key.key_id)

    door.clock.now += KEPT_S - 1
    kept = await door.ask(holder.headers())
    door.clock.now += 1
    ended = await door.ask(holder.headers())

    assert (kept.status_code, ended.status_code) == (200, 401)


async def test_a_new_key_is_good_at_once_though_it_was_tried_before_it_was_made(
    door: Door,
) -> None:
    holder = await a_holder(door.pool)
    rotated = await access.rotate(door.pool, holder.key.key_id)

    assert (await door.ask(Holder(holder.key, rotated.secret).headers())).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [b"", b"x" * 201, b"two\tparts", b"\xff\xfe", b"\xed\xa0\x80", "\u200e".encode()],
    ids=repr,
)
async def test_what_can_not_be_a_user_is_refused_by_the_headers_name(
    door: Door, holder: Holder, sent: bytes
) -> None:
    headers = [
        (b"Authorization", f"Bearer {holder.secret}".encode()),
        (b"Stillmotion-User", sent),
    ]

    reply = await door.ask(headers)

    assert (reply.status_code, reply.headers["content-type"]) == (422, PROBLEM)
    assert reply.json()["detail"].startswith("Stillmotion-User: ")
    assert reply.json()["kind"] == "invalid_request"


async def test_a_missing_or_a_second_user_is_refused(door: Door, holder: Holder) -> None:
    missing = await door.ask(holder.headers(None))
    twice = await door.ask([*holder.headers().items(), ("Stillmotion-User", "bob")])

    assert (missing.status_code, twice.status_code) == (422, 422)
    assert "missing" in missing.json()["detail"]
    assert "twice" in twice.json()["detail"]


async def test_a_key_of_one_user_acts_for_no_other(door: Door, anns: Holder) -> None:
    reply = await door.ask(anns.headers("bob"))

    assert (reply.status_code, reply.headers["content-type"]) == (403, PROBLEM)
    assert reply.json()["detail"].startswith("Stillmotion-User: ")
    assert "bob" not in reply.text


async def test_a_browser_that_signed_in_says_who_asks(door: Door, browser: Browser) -> None:
    reply = await door.ask(browser.headers())

    assert (reply.status_code, reply.json()["user_id"]) == (200, "ann")
    assert reply.json()["by_page"] is True


async def test_a_session_ends_with_its_key(door: Door) -> None:
    holder = await a_holder(door.pool)
    browser = a_browser(door.parts, holder.key.key_id, "ann")
    before = await door.ask(browser.headers())

    await access.revoke(door.pool, holder.key.key_id)
    door.clock.now += KEPT_S
    after = await door.ask(browser.headers())

    assert (before.status_code, after.status_code) == (200, 401)


async def test_a_session_for_another_user_than_its_keys_is_none(door: Door, anns: Holder) -> None:
    browser = a_browser(door.parts, anns.key.key_id, "bob")

    assert (await door.ask(browser.headers())).status_code == 401


async def test_a_browser_changes_something_from_our_own_page_only(
    door: Door, browser: Browser
) -> None:
    ours = browser.headers(door.origin)
    without_token = {**ours, "Stillmotion-Csrf": ""}

    replies = [
        await door.ask(headers, "POST")
        for headers in (
            ours,
            browser.headers(),
            browser.headers("https://elsewhere.example"),
            without_token,
        )
    ]

    assert [reply.status_code for reply in replies] == [200, 403, 403, 403]


async def test_a_header_is_believed_before_a_session(
    door: Door, browser: Browser, anns: Holder
) -> None:
    wrong = await door.ask({**browser.headers(), "Authorization": f"Bearer {new_secret()}"})
    right = await door.ask({**browser.headers(), **anns.headers(None)}, "POST")

    assert wrong.status_code == 401
    assert (right.json()["key_id"], right.json()["by_page"]) == (anns.key.key_id, False)


async def test_a_reply_says_what_the_key_may_do_next(door: Door) -> None:
    holder = await a_holder(door.pool, requests_per_minute=300)

    replies = [await door.ask(holder.headers()) for _ in range(2)]

    assert [reply.headers["ratelimit-remaining"] for reply in replies] == ["29", "28"]
    assert replies[0].headers["ratelimit-limit"] == "30"
    assert replies[0].headers["ratelimit-policy"] == "300;w=60;burst=30"


async def test_a_key_that_asks_too_fast_is_told_when_to_ask_again(door: Door) -> None:
    holder = await a_holder(door.pool, requests_per_minute=6)
    # Bad ones count as well.
    replies = [await door.ask(holder.headers("")) for _ in range(10)]

    refused = await door.ask(holder.headers())
    door.clock.now += 9
    early = await door.ask(holder.headers())
    door.clock.now += 1
    again = await door.ask(holder.headers())

    assert {reply.status_code for reply in replies} == {422}
    assert (refused.status_code, refused.headers["content-type"]) == (429, PROBLEM)
    assert (refused.headers["retry-after"], early.headers["retry-after"]) == ("10", "1")
    assert refused.json()["kind"] == "rate_limited"
    assert again.status_code == 200


async def test_one_keys_speed_is_nobody_elses(door: Door, holder: Holder) -> None:
    slow = await a_holder(door.pool, requests_per_minute=6)
    replies = [await door.ask(slow.headers()) for _ in range(11)]

    assert replies[-1].status_code == 429
    assert (await door.ask(holder.headers())).status_code == 200


async def test_an_address_that_fails_too_often_is_not_looked_up_and_known_keys_are(
    api: Api, owners: Pool
) -> None:
    clock, known, fresh = Clock(), await a_holder(owners), await a_holder(owners)
    rates = Rates(attempts_per_minute=60, clock=clock)
    parts = dataclasses.replace(api.parts, keyring=Keyring(clock=clock), rates=rates)
    document = "/v1/openapi.json"
    with listener_at("127.0.0.1", 0) as listener:
        async with served(create_app(parts), listener) as origin:

            async def ask(secret: str) -> httpx.Response:
                headers = {"Authorization": f"Bearer {secret}", "Stillmotion-User": "ann"}
                return await api.http.get(origin + document, headers=headers)

            assert (await ask(known.secret)).status_code == 200
            # It has to be looked up again.
            clock.now += KEPT_S
            wrong = [(await ask(new_secret())).status_code for _ in range(11)]
            first_time, again = await ask(fresh.secret), await ask(known.secret)
            clock.now += 1
            later = await ask(fresh.secret)

    assert wrong == [401] * 10 + [429]
    assert (first_time.status_code, first_time.headers["retry-after"]) == (429, "1")
    assert (again.status_code, later.status_code) == (200, 200)


async def test_no_line_of_the_log_and_no_document_holds_a_secret(
    door: Door, holder: Holder, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = new_secret()

    with caplog.at_level(logging.DEBUG):
        # Its own lines, as a client, are not ours.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        good = await door.ask(holder.headers())
        bad = await door.ask({"Authorization": f"Bearer {wrong}"})

    told = caplog.text + good.text + bad.text
    assert holder.secret not in told
    assert wrong not in told
    assert "GET /v1/who 200 in" in caplog.text
    assert holder.key.key_id in caplog.text

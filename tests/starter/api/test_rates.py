"""Token buckets: how many, how fast, and how little is remembered of whom."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from activities.access.keys import Key
from starter.api.problems import Problem
from starter.api.rates import Rates, burst_of
from workflows.contracts.requests import Source


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def a_key(key_id: str = "key_a", requests_per_minute: int = 600) -> Key:
    return Key(
        key_id=key_id,
        name="writer",
        sources=(Source.API,),
        user_id=None,
        requests_per_minute=requests_per_minute,
    )


def some_rates(clock: Clock, **given: Any) -> Rates:
    return Rates(clock=clock, **given)


def granted(rates: Rates, key: Key, tries: int) -> int:
    """How many of so many requests are granted."""
    count = 0
    for _ in range(tries):
        try:
            rates.take(key)
        except Problem:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("per_minute", "burst"), [(1, 10), (60, 10), (100, 10), (101, 11), (600, 60), (6000, 600)]
)
def test_a_tenth_of_a_minutes_requests_may_come_at_once_ten_at_least(
    per_minute: int, burst: int
) -> None:
    rates = some_rates(Clock())

    assert burst_of(per_minute) == burst
    assert granted(rates, a_key(requests_per_minute=per_minute), burst + 5) == burst


def test_over_a_minute_a_key_gets_its_requests_and_no_more() -> None:
    clock = Clock()
    rates, key = some_rates(clock), a_key(requests_per_minute=600)
    granted(rates, key, 1000)

    count = 0
    for _ in range(60 * 4):
        clock.now += 0.25
        count += granted(rates, key, 10)

    assert count == 600


def test_a_bucket_grows_no_fuller_by_waiting() -> None:
    clock = Clock()
    rates, key = some_rates(clock), a_key()
    granted(rates, key, 100)

    clock.now += 3600

    assert granted(rates, key, 100) == 60


def test_what_is_refused_takes_nothing() -> None:
    clock = Clock()
    rates, key = some_rates(clock), a_key(requests_per_minute=60)
    granted(rates, key, 1000)

    clock.now += 1

    assert granted(rates, key, 5) == 1


def test_a_refusal_names_whole_seconds_and_the_next_request_then_is_granted() -> None:
    clock = Clock()
    rates, key = some_rates(clock), a_key(requests_per_minute=7)
    granted(rates, key, 10)
    with pytest.raises(Problem) as refused:
        rates.take(key)
    assert refused.value.headers is not None
    wait_s = int(refused.value.headers["Retry-After"])

    clock.now += wait_s

    assert wait_s == 9
    assert granted(rates, key, 5) == 1


def test_no_more_buckets_are_kept_than_there_is_room_for() -> None:
    rates = some_rates(Clock(), kept_max=3)
    oldest = a_key("key_0")
    granted(rates, oldest, 60)

    others = [a_key(f"key_{number}") for number in range(1, 4)]
    for key in others:
        granted(rates, key, 60)

    assert rates.kept == 3
    # Those that were used last are remembered, who was forgotten begins anew.
    assert [granted(rates, key, 1) for key in (others[-1], oldest)] == [0, 1]


@pytest.mark.parametrize(
    ("one", "other", "is_shared"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        (None, None, True),
    ],
)
def test_an_address_is_limited_alone_and_a_network_of_ipv6_as_one(
    one: str | None, other: str | None, *, is_shared: bool
) -> None:
    rates = some_rates(Clock(), attempts_per_minute=60)
    for _ in range(10):
        rates.count_attempt(one)

    with pytest.raises(Problem) if is_shared else nullcontext() as refused:
        rates.require_attempt(other)

    assert getattr(getattr(refused, "value", None), "status", None) == (429 if is_shared else None)


def test_a_key_has_so_many_requests_under_way_and_others_have_their_own() -> None:
    rates = some_rates(Clock(), at_once_max=2)

    with (
        rates.under_way("key_a"),
        rates.under_way("key_a"),
        rates.under_way("key_b"),
        pytest.raises(Problem) as refused,
        rates.under_way("key_a"),
    ):
        pass
    with rates.under_way("key_a"), rates.under_way("key_a"):
        pass

    assert refused.value.status == 429
    assert refused.value.headers == {"Retry-After": "1"}
    assert rates.kept == 0

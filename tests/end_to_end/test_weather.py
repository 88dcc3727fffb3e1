"""The provider's weather as one table: what each does to a generation, its money and its reader.

All cases run side by side on one worker, each hit by faults that match its own prompt only. What is
waited for by the minute or the hour stands in `tests/workflows/test_weather_by_kind.py`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, NamedTuple

import pytest
from stacks import SMALL, Stack, at_stage, finished, until

from starter import GenerationHandle
from workflows.contracts.failures import RULES, FailureKind
from workflows.contracts.stages import Stage, Status

# Python only, and half a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools(), pytest.mark.timeout(600)]

Payer = Literal["user", "nobody", "undecided"]

DONE, NOT_FINISHED = 0, 6
REVOKED_FOR_TWO_LOOKS = "a key that is revoked for two looks"
A_DATE, DATE_AHEAD = "a date", timedelta(seconds=14)
THERE = (Stage.COMPLETED, Stage.FAILED, Stage.TIMED_OUT)
SENT = (*THERE, Stage.GENERATING, Stage.DOWNLOADING, Stage.SAVING, Stage.SETTLING)
PATIENCE_S = 180


class Case(NamedTuple):
    """One weather: its faults by area, and what comes of it."""

    weather: str
    faults: dict[str, dict[str, Any]]
    ends: Literal["completed"] | FailureKind
    exit_code: int
    pays: Payer
    predictions: int

    @property
    def prompt(self) -> str:
        return f"{self.weather} over the sea"

    @property
    def slows_all_down(self) -> bool:
        return self.faults.get("submit", {}).get("code") == 429


def _completed(weather: str, **faults: dict[str, Any]) -> Case:
    """Borne: the video is there, paid once."""
    return Case(weather, faults, "completed", DONE, "user", 1)


def _failed(
    weather: str, kind: FailureKind, predictions: int = 0, **faults: dict[str, Any]
) -> Case:
    """An end without a video, which costs nothing."""
    return Case(weather, faults, kind, RULES[kind].exit_code, "nobody", predictions)


def _parked(weather: str, kind: FailureKind, **faults: dict[str, Any]) -> Case:
    """Paid for at the provider and not to be had now: it waits, and the quote stays held."""
    return Case(weather, faults, kind, NOT_FINISHED, "undecided", 1)


def _status(code: int, times: int = 1, **given: Any) -> dict[str, Any]:
    return {"kind": "status", "code": code, "times": times, **given}


def _dated(fault: dict[str, Any]) -> dict[str, Any]:
    """The fault with a Retry-After as a date that is soon, counted from the start of the run."""
    if fault.get("retry_after") != A_DATE:
        return fault
    date = format_datetime(datetime.now(UTC) + DATE_AHEAD, usegmt=True)
    return fault | {"retry_after": date}


CASES = (
    # Too many at once: the provider says when, or we wait a quarter of a minute.
    _completed("429 with seconds", submit=_status(429, retry_after=2)),
    _completed("429 with a date", submit=_status(429, retry_after=A_DATE)),
    _completed("429 without a time", submit=_status(429)),
    _completed("429 while generating", poll=_status(429, times=2)),
    # Out of order for a while.
    _completed("5xx after it took the job", submit=_status(502, accepted=True)),
    _completed("5xx storm while generating", poll=_status(503, times=4)),
    _completed("slow reply", submit={"kind": "slow", "delay_s": 3}),
    _completed("cut connection", submit={"kind": "lost_reply", "times": 1}),
    _completed("cut connection while generating", poll={"kind": "cut", "times": 3}),
    _completed("unknown statuses", poll={"kind": "unknown_status", "times": 3}),
    # Our account.
    _failed("key revoked", FailureKind.PROVIDER_REFUSED_KEY, submit=_status(401)),
    _failed("account not allowed", FailureKind.PROVIDER_REFUSED_KEY, submit=_status(403)),
    _parked("key revoked meanwhile", FailureKind.PROVIDER_REFUSED_KEY, poll=_status(401)),
    _failed(
        "credit exhausted",
        FailureKind.PROVIDER_CREDIT_EXHAUSTED,
        submit={"kind": "credit_exhausted"},
    ),
    # The provider's no.
    _failed(
        "moderation at once",
        FailureKind.PROMPT_REJECTED,
        submit={"kind": "envelope", "code": 1200, "message": "sensitive"},
    ),
    _failed("moderation later", FailureKind.PROMPT_REJECTED, 1, job={"kind": "moderated"}),
    _failed("input refused", FailureKind.PROVIDER_REFUSED_INPUT, submit=_status(400)),
    _failed("failed job", FailureKind.PROVIDER_FAILED, 1, job={"kind": "failed"}),
    _failed(
        "job that timed out there",
        FailureKind.PROVIDER_FAILED,
        1,
        job={"kind": "ended", "status": "timeout"},
    ),
    # What was made can't be had.
    _completed("expired once", output={"kind": "expired"}),
    _completed("cut file once", output={"kind": "cut_connection", "downloads": 1}),
    _parked("no outputs", FailureKind.OUTPUT_UNUSABLE, job={"kind": "no_outputs"}),
    _parked("an HTML page", FailureKind.OUTPUT_UNUSABLE, output={"kind": "html"}),
    _parked("cut file", FailureKind.OUTPUT_UNUSABLE, output={"kind": "cut_file"}),
    _parked(
        "expired for good", FailureKind.OUTPUT_UNUSABLE, output={"kind": "expired", "urls": 99}
    ),
)


class Seen(NamedTuple):
    """What came of a case, seen as soon as it was there: what is parked looks again by itself."""

    exit_code: int
    read: dict[str, Any]
    pays: Payer
    predictions: int


class Weathered:
    """A worker under the weather of all cases."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.seen: dict[str, Seen] = {}
        self._one_at_a_time = asyncio.Lock()

    async def start(self, cases: Iterable[Case]) -> dict[str, GenerationHandle]:
        return {case.weather: await self.stack.start(case.prompt) for case in cases}

    async def see(self, weather: str, handle: GenerationHandle) -> None:
        await at_stage(handle, *THERE, timeout_s=PATIENCE_S)
        async with self._one_at_a_time:
            code, shown, _ = await self.stack.cli("watch", handle.id, "--timeout=1", "-o", "json")
        read = json.loads(shown)
        self.seen[weather] = Seen(
            code,
            read,
            await _payer(self.stack, handle, read["quoted_usd_micros"]),
            len(await self.stack.predictions_of(handle.id)),
        )


@pytest.fixture(scope="module")
async def weathered(whole_stack: Stack) -> AsyncIterator[Weathered]:
    """One worker, all cases; those that slow everybody down come when the others are sent."""
    weathered = Weathered(whole_stack)
    await whole_stack.faults(_plan(CASES))
    async with whole_stack.worker():
        handles = await weathered.start(case for case in CASES if not case.slows_all_down)
        async with asyncio.TaskGroup() as seeing:
            for weather, handle in handles.items():
                seeing.create_task(weathered.see(weather, handle))
            for handle in handles.values():
                await at_stage(handle, *SENT, timeout_s=PATIENCE_S)
            slow = await weathered.start(case for case in CASES if case.slows_all_down)
            for weather, handle in slow.items():
                seeing.create_task(weathered.see(weather, handle))
        yield weathered
    await whole_stack.faults({})
    # The next test's submissions are not held back by this one's.
    await whole_stack.rows("DELETE FROM pacing")


def _plan(cases: Iterable[Case]) -> dict[str, list[dict[str, Any]]]:
    for_two_looks = {**_status(401, times=2), "match": REVOKED_FOR_TWO_LOOKS}
    plan: dict[str, list[dict[str, Any]]] = {"output": list(SMALL), "poll": [for_two_looks]}
    for case in cases:
        for area, fault in case.faults.items():
            plan.setdefault(area, []).append({**_dated(fault), "match": case.prompt})
    return plan


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.weather.replace(" ", "-"))
async def test_weather(weathered: Weathered, case: Case) -> None:
    seen = weathered.seen[case.weather]

    told = seen.read["error"]
    assert (told["kind"] if told else "completed") == case.ends
    assert (seen.exit_code, seen.pays) == (case.exit_code, case.pays)
    assert seen.predictions == case.predictions
    if case.ends != "completed":
        _tells_the_reader(case.ends, seen.read)


def _tells_the_reader(kind: FailureKind, read: dict[str, Any]) -> None:
    """The rule's hint, what happened to the money, and nothing of the provider's own words."""
    told, rule = read["error"], RULES[kind]
    assert told["hint"] == rule.hint.format(id=read["generation_id"])
    assert told["message"].endswith(".")
    assert "sensitive" not in told["message"]
    if read["status"] == Status.FAILED:
        assert rule.pays == "nobody"
        assert told["money"].startswith("Nothing was charged.")
    else:
        assert told["money"].endswith("stays reserved.")


async def _payer(stack: Stack, handle: GenerationHandle, quoted_usd_micros: int) -> Payer:
    """Who paid by the ledger's sums; the house never does here."""
    rows = await stack.rows(
        "SELECT account, sum(reserved_usd_micros)::bigint, sum(settled_usd_micros)::bigint"
        " FROM ledger WHERE generation_id = $1 GROUP BY account",
        handle.id,
    )
    if rows == [("user", 0, quoted_usd_micros)]:
        return "user"
    if rows == [("user", quoted_usd_micros, 0)]:
        return "undecided"
    assert rows == [("user", 0, 0)]
    return "nobody"


async def test_what_a_revoked_key_parked_is_completed_when_the_key_works_again(
    weathered: Weathered,
) -> None:
    stack = weathered.stack
    handle = await stack.start(REVOKED_FOR_TWO_LOOKS)
    await at_stage(handle, Stage.TIMED_OUT, timeout_s=PATIENCE_S)
    parked = await handle.read_generation()

    await handle.resume()
    await until(lambda: _was_refused_twice(stack))
    await handle.resume()
    generation = await finished(handle)

    assert parked.error is not None
    assert parked.error.kind == FailureKind.PROVIDER_REFUSED_KEY
    assert "WAVESPEED_API_KEY" in parked.error.hint
    assert generation.status is Status.COMPLETED
    assert len(await stack.predictions_of(handle.id)) == 1
    assert await stack.settlements(handle.id) == 1


async def _was_refused_twice(stack: Stack) -> bool:
    polls = (await stack.board())["poll"]
    return any(each["match"] == REVOKED_FOR_TWO_LOOKS and each["used"] == 2 for each in polls)

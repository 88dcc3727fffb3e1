"""Ends before anything was submitted: what the ledger is told, and what the person reads."""

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from tests.workflows.scripted import Script, refused
from tests.workflows.theatre import Theatre, facts, failed
from workflows.contracts.activities import Booked, PromptBuilt
from workflows.contracts.failures import OF_ANOTHER, REFUSALS, RULES, FailureKind
from workflows.contracts.queues import STATUS
from workflows.contracts.stages import Stage


@pytest.mark.parametrize("kind", sorted(REFUSALS))
async def test_a_refusal_at_the_quota_check_ends_failed_with_kind_hint_and_money(
    theatre: Theatre, kind: FailureKind
) -> None:
    script = Script().on("ledger.reserve", refused(kind, "duration_s: 7; allowed are 5, 10."))

    handle = await theatre.start(script)
    told = await failed(handle)

    assert (told.kind, told.message) == (kind, "duration_s: 7; allowed are 5, 10.")
    assert told.hint == RULES[kind].hint.format(id=handle.id)
    assert told.money == "Nothing was charged."
    assert script.calls == ["ledger.reserve", "ledger.close"]
    assert script.closed() == (kind, "release")


@pytest.mark.parametrize("kind", sorted(OF_ANOTHER))
async def test_the_records_of_another_request_are_never_closed(
    theatre: Theatre, kind: FailureKind
) -> None:
    script = Script().on("ledger.reserve", refused(kind))

    handle = await theatre.start(script)
    told = await failed(handle)

    assert told.kind is kind
    assert script.calls == ["ledger.reserve"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("prompts.build_prompt", FailureKind.PROMPT_REJECTED),
        ("provider.stage_inputs", FailureKind.PROVIDER_REFUSED_INPUT),
        ("provider.stage_inputs", FailureKind.PROVIDER_REFUSED_KEY),
        ("provider.submit", FailureKind.PROMPT_REJECTED),
        ("provider.submit", FailureKind.PROVIDER_REFUSED_INPUT),
        ("provider.submit", FailureKind.PROVIDER_REFUSED_KEY),
        ("provider.submit", FailureKind.PROVIDER_CREDIT_EXHAUSTED),
    ],
)
async def test_a_refusal_up_to_the_submission_gives_the_hold_back(
    theatre: Theatre, name: str, kind: FailureKind
) -> None:
    script = Script().on(name, refused(kind))

    handle = await theatre.start(script)
    told = await failed(handle)

    assert told.kind is kind
    assert script.calls[-2:] == [name, "ledger.close"]
    assert script.closed() == (kind, "release")


async def test_the_failure_carries_what_the_ledger_says_of_the_money(theatre: Theatre) -> None:
    money = "Nothing was charged. The $0.50 that was reserved is released."
    script = Script().on("provider.submit", refused(FailureKind.PROVIDER_REFUSED_INPUT))
    script.on("ledger.close", Booked(cost_usd_micros=0, money=money))

    handle = await theatre.start(script)
    told = await failed(handle)

    assert told.money == money
    seen = await facts(handle)
    assert (seen.stage, seen.money, seen.failure) == (Stage.FAILED, money, told)


async def test_a_failed_generation_is_a_failed_workflow_and_listed_so(theatre: Theatre) -> None:
    script = Script().on("ledger.reserve", refused(FailureKind.QUOTA_EXCEEDED))

    handle = await theatre.start(script)
    await failed(handle)

    described = await handle.describe()
    assert described.status is WorkflowExecutionStatus.FAILED
    assert described.typed_search_attributes[STATUS] == "failed"


async def test_an_error_that_passes_is_tried_again_by_itself(theatre: Theatre) -> None:
    passing = ConnectionError("the database is away")
    script = Script().on("prompts.build_prompt", passing, PromptBuilt(prompt_by="caller"))

    handle = await theatre.start(script)
    await handle.result()

    assert script.count("prompts.build_prompt") == 2
    assert script.count("provider.submit") == 1


async def test_an_error_of_no_kind_shows_nobody_its_text(theatre: Theatre) -> None:
    unknown = ApplicationError("password=hunter2", type="SomethingElse", non_retryable=True)
    script = Script().on("prompts.build_prompt", unknown)

    handle = await theatre.start(script)
    told = await failed(handle)

    assert (told.kind, told.message) == (FailureKind.INTERNAL, "A step failed.")


async def test_a_ledger_that_is_away_when_it_ends_is_waited_for(theatre: Theatre) -> None:
    script = Script().on("ledger.reserve", refused(FailureKind.NO_PLAN))
    script.on(
        "ledger.close",
        ConnectionError("away"),
        Booked(cost_usd_micros=0, money="Nothing was charged."),
    )

    handle = await theatre.start(script)
    told = await failed(handle)

    assert told.kind is FailureKind.NO_PLAN
    assert script.count("ledger.close") == 2


@pytest.mark.parametrize("name", ["library.save", "ledger.record_usage"])
async def test_a_step_after_the_acceptance_that_refuses_for_good_is_on_the_house(
    theatre: Theatre, name: str
) -> None:
    script = Script().on(name, refused(FailureKind.INVALID_REQUEST))

    handle = await theatre.start(script)
    told = await failed(handle)

    assert told.kind is FailureKind.INTERNAL
    assert script.closed() == (FailureKind.INTERNAL, "house")

"""Progress: never backwards, always within 0 and 100, and marked as the estimate that it is."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.conftest import NOON, some_facts
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.progress import Progress, ProgressFacts, estimate
from workflows.contracts.stages import PARKED, TERMINAL, TRANSITIONS, Stage

seconds = st.floats(0, 1e6, allow_nan=False)


def at(after_s: float) -> datetime:
    return NOON + timedelta(seconds=after_s)


def generating(expected_s: int | None = 60, **given_: object) -> ProgressFacts:
    return some_facts(Stage.GENERATING, generating_since=NOON, expected_s=expected_s, **given_)


@st.composite
def lives(draw: st.DrawFn) -> list[Progress]:
    """What a reader sees who looks once or more in each stage of a legal life."""
    facts = some_facts(Stage.ACCEPTED, expected_s=draw(st.one_of(st.none(), st.integers(1, 5000))))
    now_s = 0.0
    seen: list[Progress] = []
    for _ in range(draw(st.integers(1, 25))):
        for _ in range(draw(st.integers(1, 3))):
            now_s += draw(st.floats(0, 2000))
            seen.append(estimate(facts, at(now_s)))
        followers = sorted(TRANSITIONS[facts.stage])
        if not followers:
            break
        stage = draw(st.sampled_from(followers))
        entered: dict[str, object] = {"stage": stage, "since": at(now_s)}
        if stage is Stage.GENERATING and facts.generating_since is None:
            entered["generating_since"] = at(now_s)
        if stage is Stage.DOWNLOADING and facts.downloading_since is None:
            entered["downloading_since"] = at(now_s)
        facts = facts.model_copy(update=entered)
    return seen


@given(lives())
def test_percent_never_goes_backwards_along_any_legal_life(seen: list[Progress]) -> None:
    shown = [each.percent for each in seen]

    assert shown == sorted(shown)
    assert shown[0] >= 0
    assert shown[-1] <= 100
    assert [each.elapsed_s for each in seen] == sorted(each.elapsed_s for each in seen)


@given(st.sampled_from(list(Stage)), seconds, seconds, st.integers(0, 10_000))
def test_a_later_clock_never_shows_less(
    stage: Stage, first_s: float, more_s: float, expected_s: int
) -> None:
    facts = some_facts(stage, generating_since=NOON, expected_s=expected_s)

    early, late = estimate(facts, at(first_s)), estimate(facts, at(first_s + more_s))

    assert 0 <= early.percent <= late.percent <= 100
    assert early.eta_s is None or early.eta_s >= 0


@given(seconds)
def test_a_clock_that_is_behind_counts_as_the_beginning(behind_s: float) -> None:
    facts = generating()

    told = estimate(facts, at(-behind_s))

    assert (told.percent, told.elapsed_s) == (20, 0)


@pytest.mark.parametrize(
    ("after_s", "percent"), [(0, 20), (30, 47), (60, 74), (120, 77), (600, 79), (1e9, 80)]
)
def test_generating_moves_from_20_to_80_and_slows_down_when_it_takes_longer(
    after_s: float, percent: int
) -> None:
    assert estimate(generating(60), at(after_s)).percent == percent


@pytest.mark.parametrize(
    ("stage", "percent"),
    [
        (Stage.ACCEPTED, 0),
        (Stage.GENERATING, 10),
        (Stage.DOWNLOADING, 90),
        (Stage.COMPLETED, 100),
        (Stage.FAILED, 100),
        (Stage.CANCELLED, 100),
    ],
)
def test_stages_have_their_percent(stage: Stage, percent: int) -> None:
    assert estimate(some_facts(stage), NOON).percent == percent


@pytest.mark.parametrize("stage", list(Stage))
def test_everything_but_an_end_is_an_estimate(stage: Stage) -> None:
    told = estimate(some_facts(stage), NOON)

    assert told.is_estimate == (stage not in TERMINAL)
    assert told.message
    assert told.stage is stage


@pytest.mark.parametrize("stage", sorted(PARKED))
def test_nobody_guesses_when_something_parked_ends(stage: Stage) -> None:
    assert estimate(some_facts(stage, expected_s=60), NOON).eta_s is None


def test_the_time_left_shrinks_and_is_unknown_when_it_is_over() -> None:
    facts = generating(60)

    assert estimate(facts, at(0)).eta_s == 65
    assert estimate(facts, at(50)).eta_s == 15
    assert estimate(facts, at(61)).eta_s is None
    assert estimate(some_facts(Stage.SAVING, expected_s=60), NOON).eta_s == 5
    assert estimate(some_facts(Stage.STAGING, expected_s=60), NOON).eta_s == 65
    assert estimate(some_facts(Stage.STAGING), NOON).eta_s is None
    assert estimate(some_facts(Stage.COMPLETED), NOON).eta_s == 0


def test_a_failure_is_told_with_the_stage() -> None:
    told = failure(FailureKind.DEADLINE_PASSED, "It takes long.")
    facts = some_facts(Stage.TIMED_OUT, failure=told)

    assert estimate(facts, NOON).message == "Parked: it looks again by itself: It takes long."


def test_what_has_ended_took_as_long_as_it_took() -> None:
    facts = some_facts(Stage.COMPLETED, since=at(90))

    assert estimate(facts, at(1e6)).elapsed_s == 90


@pytest.mark.parametrize("stage", [Stage.TIMED_OUT, Stage.GENERATING])
def test_what_parks_behind_the_providers_part_stays_at_90(stage: Stage) -> None:
    facts = some_facts(stage, generating_since=NOON, downloading_since=NOON, expected_s=60)

    assert estimate(facts, at(5)).percent == 90


@given(
    st.builds(
        ProgressFacts,
        generation_id=st.text(),
        stage=st.sampled_from(list(Stage)),
        since=st.datetimes().map(lambda each: each.replace(tzinfo=NOON.tzinfo)),
        started_at=st.just(NOON),
        expected_s=st.one_of(st.none(), st.integers()),
        failure=st.one_of(st.none(), st.just(failure(FailureKind.INTERNAL, "x"))),
    )
)
def test_facts_come_back_from_the_wire_as_they_went(facts: ProgressFacts) -> None:
    assert ProgressFacts.model_validate_json(facts.model_dump_json()) == facts

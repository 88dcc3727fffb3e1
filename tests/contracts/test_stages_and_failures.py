"""The table of transitions, the table of failures, and ids: each whole, each stable."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.contracts.failures import (
    OF_ANOTHER,
    REFUSALS,
    RULES,
    FailureKind,
    RequestRefused,
    Rule,
    failure,
)
from workflows.contracts.ids import (
    asset_id_for,
    generation_digest,
    generation_id_for,
    is_generation_id,
    media_id_for,
)
from workflows.contracts.stages import (
    PARKED,
    TERMINAL,
    TRANSITIONS,
    Stage,
    Status,
    may_follow,
    stages_of,
    status_of,
)


def reachable(stage: Stage) -> set[Stage]:
    found: set[Stage] = set()
    todo = [stage]
    while todo:
        for following in TRANSITIONS[todo.pop()] - found:
            found.add(following)
            todo.append(following)
    return found


def test_every_stage_stands_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Stage)


def test_the_three_ends_and_only_they_have_no_followers() -> None:
    assert {Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED} == TERMINAL
    assert all(not TRANSITIONS[stage] for stage in TERMINAL)


@pytest.mark.parametrize("stage", sorted(set(Stage) - TERMINAL))
def test_every_stage_reaches_completion(stage: Stage) -> None:
    assert Stage.COMPLETED in reachable(stage)


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_but_the_first_is_reached(stage: Stage) -> None:
    assert (stage in reachable(Stage.ACCEPTED)) == (stage is not Stage.ACCEPTED)


def test_a_stage_never_follows_itself_so_that_a_repeat_records_nothing() -> None:
    assert not [stage for stage in Stage if may_follow(stage, stage)]


def test_a_video_that_is_safe_is_never_given_up() -> None:
    assert reachable(Stage.SAVING) == {Stage.SETTLING, Stage.COMPLETED}


def test_nothing_generates_before_it_was_reserved_and_submitted() -> None:
    before = {stage for stage, following in TRANSITIONS.items() if Stage.GENERATING in following}

    assert before == {Stage.SUBMITTING, Stage.UNRESOLVED, Stage.TIMED_OUT}
    assert [s for s, following in TRANSITIONS.items() if Stage.PROMPTING in following] == [
        Stage.RESERVING
    ]


def test_every_stage_has_a_status_and_every_status_its_stages() -> None:
    assert sorted(stage for status in Status for stage in stages_of(status)) == sorted(Stage)
    assert all(status_of(stage) is status for status in Status for stage in stages_of(status))
    assert {status_of(stage) for stage in PARKED} == {Status.TIMED_OUT, Status.UNRESOLVED}


def test_every_kind_has_a_rule() -> None:
    assert set(RULES) == set(FailureKind)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_hint_is_a_sentence_that_names_the_generation(kind: FailureKind) -> None:
    told = failure(kind, "It ended.", generation_id="gen_one")

    assert told.hint
    assert "{" not in told.hint
    assert ("gen_one" in told.hint) == ("{id}" in RULES[kind].hint)
    assert told.hint[0].isupper()
    assert len(told.hint) <= 120


@pytest.mark.parametrize(("kind", "rule"), RULES.items())
def test_a_rule_agrees_with_itself(kind: FailureKind, rule: Rule) -> None:
    if rule.retry == "by itself":
        assert rule.exit_code == 6
    if rule.pays == "undecided":
        assert rule.retry == "by itself"
    if kind in REFUSALS:
        assert (rule.retry, rule.pays) == ("never", "nobody")
        assert rule.exit_code in {2, 4}


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        (FailureKind.INVALID_REQUEST, 2),
        (FailureKind.KEY_REUSED, 2),
        (FailureKind.PROVIDER_REFUSED_KEY, 3),
        (FailureKind.QUOTA_EXCEEDED, 4),
        (FailureKind.MAX_COST_EXCEEDED, 4),
        (FailureKind.CANCELLED, 5),
        (FailureKind.DEADLINE_PASSED, 6),
        (FailureKind.SUBMISSION_AMBIGUOUS, 6),
        (FailureKind.PROVIDER_FAILED, 1),
    ],
)
def test_exit_codes_are_those_of_the_public_surface(kind: FailureKind, exit_code: int) -> None:
    assert RULES[kind].exit_code == exit_code


def test_refusals_and_what_belongs_to_another_are_apart() -> None:
    assert not REFUSALS & OF_ANOTHER


def test_a_refusal_carries_its_failure() -> None:
    refused = RequestRefused(FailureKind.NO_PLAN, "user_id: 'ann' is on no plan.")

    assert str(refused) == refused.failure.message
    assert refused.failure.kind is FailureKind.NO_PLAN


def test_money_is_told_once_the_ledger_has_spoken() -> None:
    told = failure(FailureKind.GIVEN_UP, "It ended.")

    assert told.money == "Nothing was charged."
    assert told.with_money("$0.50 was booked.").money == "$0.50 was booked."
    assert told.money == "Nothing was charged."


def test_ids_are_what_they_have_always_been() -> None:
    # Computed apart from this code: base32 of the first 16 bytes of SHA-256 of "3:ann1:k" etc.
    assert generation_id_for("ann", "k") == "gen_ozgm2y4rn4w645xlvud7lc5isq"
    assert media_id_for("ann", "a" * 64) == "med_wv3vqdbaflhtcj5iy2tci4w7wi"
    assert asset_id_for("gen_one") == "ast_cgthefqeyldegux4hukl3gieve"
    assert generation_digest("gen_one") == "0ec3dec38724ec47"


def test_the_border_between_user_and_key_counts() -> None:
    assert generation_id_for("ab", "c") != generation_id_for("a", "bc")
    assert generation_id_for("a", "1:b") != generation_id_for("a1", ":b")


@given(st.text(), st.text(), st.text(), st.text())
def test_two_pairs_never_share_an_id(a: str, b: str, c: str, d: str) -> None:
    same = generation_id_for(a, b) == generation_id_for(c, d)

    assert same == ((a, b) == (c, d))


@given(st.text(), st.text())
def test_an_id_has_one_form_whatever_it_names(user: str, key: str) -> None:
    made = generation_id_for(user, key)

    assert is_generation_id(made)
    assert re.fullmatch(r"gen_[a-z2-7]{26}", made)


@pytest.mark.parametrize(
    "text", ["", "gen_", "gen_" + "a" * 25, "gen_" + "A" * 26, "med_" + "a" * 26]
)
def test_what_has_another_form_is_no_generation_id(text: str) -> None:
    assert not is_generation_id(text)
    assert not is_generation_id("gen_" + "a" * 26 + "\n")

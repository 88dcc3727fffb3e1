"""Errors as problem documents: a status and words for every situation, and nothing of ours."""

import json
import re
from http import HTTPStatus
from typing import Any

import pytest

from activities.batches.reading import UnknownBatch
from activities.batches.repository import ItemRefused
from activities.database.pool import DatabaseUnreachable
from activities.generations.repository import UnknownGeneration
from activities.library.repository import UnknownAsset
from activities.media.errors import DecoderCrashed, NotStored, StoreFull, StoreUnavailable
from activities.media.inputs import InputUnreachable
from starter.api.hints import over_http
from starter.api.problems import DETAIL_CHARACTERS_MAX, Problem, document_of, reply_of
from starter.api.refusals import of_failure, problem_of
from starter.api.responses import ProblemDocument, kinds_of, problems
from starter.handles import NotBegun, NothingToResolve, NoWorker
from starter.places import NotReachable
from workflows.contracts.failures import (
    OF_ANOTHER,
    REFUSALS,
    RULES,
    FailureKind,
    RequestRefused,
    failure,
)

A_COMMAND = re.compile(r"stillmotion [a-z]|--[a-z]")


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_of_failure_is_told_without_a_command_line(kind: FailureKind) -> None:
    told = failure(kind, "It ended.", generation_id="gen_one")

    document = document_of(of_failure(told))

    assert document["status"] == RULES[kind].http_status
    assert (document["kind"], document["type"]) == (kind, f"urn:stillmotion:problem:{kind}")
    assert document["money"] == "Nothing was charged."
    hint = str(document["hint"])
    assert not A_COMMAND.search(hint), hint
    assert hint.endswith((".", "gen_one/resume", "gen_one/resolve", "gen_one")), hint
    ProblemDocument.model_validate(document)


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("at once: stillmotion resume gen_a", "at once: POST /v1/generations/gen_a/resume"),
        ("See: stillmotion show 'my own id'", "See: GET /v1/generations/my%20own%20id"),
        (
            "Decide: stillmotion resolve gen_a --adopt/--resubmit/--give-up",
            "Decide: POST /v1/generations/gen_a/resolve",
        ),
        ("See: stillmotion usage. Or wait.", "See: GET /v1/usage. Or wait."),
        ("An operator paused submits: stillmotion unpause", "An operator paused submits."),
        (
            "not of this user; `stillmotion upload FILE` makes one.",
            "not of this user; POST /v1/uploads makes one.",
        ),
        ("Use a new --id for it.", "Use a new Idempotency-Key for it."),
        ("A video --- a sea.", "A video --- a sea."),
    ],
)
def test_a_command_becomes_the_request_that_does_the_same(hint: str, told: str) -> None:
    assert over_http(hint) == told


RAISED: list[tuple[Exception, int, str]] = [
    (UnknownGeneration("no generation 'gen_secret'"), 404, "unknown_generation"),
    (UnknownAsset("no asset 'gen_secret'"), 404, "unknown_asset"),
    (UnknownBatch("no batch 'gen_secret'"), 404, "unknown_batch"),
    (NotStored("could not read a file"), 404, "unknown_file"),
    (NotBegun("gen_a has not begun: no workflow runs for it yet."), 409, "not_begun"),
    (NothingToResolve("gen_a is running, not unresolved."), 409, "nothing_to_resolve"),
    (NoWorker("No worker answered within 20 s."), 503, "no_worker"),
    (NotReachable("Temporal does not answer at gen_secret:7233."), 503, "not_reachable"),
    (DatabaseUnreachable("gen_secret does not answer"), 503, "not_reachable"),
    (StoreUnavailable("gen_secret is away"), 503, "store_unavailable"),
    (DecoderCrashed("the decoder ended", "gen_secret"), 503, "store_unavailable"),
    (StoreFull("could not receive a file: the disk is full"), 507, "store_full"),
    (InputUnreachable("image: example.com stopped answering"), 422, "input_unreachable"),
]


@pytest.mark.parametrize(("raised", "status", "kind"), RAISED, ids=[each[2] for each in RAISED])
def test_what_the_client_raises_has_a_status_and_a_kind_and_tells_nothing_of_ours(
    raised: Exception, status: int, kind: str
) -> None:
    problem = problem_of(raised)

    document = document_of(problem)
    assert (problem.status, document["kind"]) == (status, kind)
    assert "gen_secret" not in json.dumps(document)
    assert not A_COMMAND.search(json.dumps(document))
    if status == 503:
        assert (problem.headers or {})["Retry-After"].isdecimal()


def test_a_mistake_in_a_batch_names_its_item() -> None:
    refused = RequestRefused(FailureKind.INVALID_REQUEST, "duration_s: 7; allowed: 5, 10.")

    document = document_of(problem_of(ItemRefused(3, refused)))

    assert (document["status"], document["position"]) == (422, 3)
    assert document["detail"] == "item 3: duration_s: 7; allowed: 5, 10."


def test_a_detail_is_a_sentence_whatever_was_sent() -> None:
    long = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "\ud800" * 10_000)

    body: dict[str, Any] = json.loads(bytes(reply_of(long).body))

    assert len(body["detail"]) == DETAIL_CHARACTERS_MAX
    assert body["type"] == "about:blank"
    assert body["title"] == HTTPStatus.UNPROCESSABLE_ENTITY.phrase


def test_every_refusal_stands_in_the_document_with_its_status() -> None:
    told = {
        kind.value: (status, example["value"])
        for status, response in problems(409).items()
        for kind in kinds_of(HTTPStatus(int(status)))
        for name, example in response["content"]["application/problem+json"]["examples"].items()
        if name == kind.value
    }

    assert set(told) == {kind.value for kind in REFUSALS | OF_ANOTHER}
    for status, example in told.values():
        assert example["status"] == status
        ProblemDocument.model_validate(example)

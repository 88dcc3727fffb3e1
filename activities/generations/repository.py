"""Writing generations: the claim of an id, and events in the transaction of their effect."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, NamedTuple

from activities.database.pool import Connection, Row
from activities.database.statements import statements
from workflows.contracts.failures import Failure, FailureKind, RequestRefused
from workflows.contracts.requests import GenerationRequest, request_hash
from workflows.contracts.stages import TERMINAL, Stage, may_follow
from workflows.contracts.terms import Terms

SQL = statements("activities.generations", "queries.sql")


GENERATION_ID_CHARACTERS_MAX = 200
"""The table's own limit, told before it would fail there for ever."""


class UnknownGeneration(LookupError):
    """No such generation, or not this owner's: the two look alike on purpose."""


class Claim(NamedTuple):
    """What a claim found."""

    generation_id: str
    stage: Stage
    is_new: bool
    """Whether this claim made it, or brought a refused one back."""


async def claim(
    connection: Connection,
    generation_id: str,
    request: GenerationRequest,
    *,
    run_id: str | None = None,
) -> Claim:
    """Take `generation_id` for `request`, or find that the same request has it already.

    One key names one generation for ever. A generation that was refused before anything was
    reserved starts over, since a refusal doesn't use the key up: for a client, or for a new run of
    its workflow, given by `run_id`, but not for the run that was refused.

    Raises:
        RequestRefused: `key_reused`: the key or the id stands for another request;
            `invalid_request`: a caller's own id is too long; `already_closed`: the run is over.
    """
    if not 0 < len(generation_id) <= GENERATION_ID_CHARACTERS_MAX:
        raise RequestRefused(
            FailureKind.INVALID_REQUEST,
            f"workflow id: {len(generation_id)} characters;"
            f" allowed: 1 to {GENERATION_ID_CHARACTERS_MAX}.",
        )
    key = request.idempotency_key or f"id:{generation_id}"
    async with connection.transaction():
        inserted = await connection.fetchval(
            SQL["insert"], generation_id, request.user_id, key, *_wish(request)
        )
        if inserted is not None:
            return await _claimed_anew(connection, generation_id)
        known = await connection.fetch(SQL["known"], generation_id, request.user_id, key)
        if (
            len(known) == 1
            and known[0]["generation_id"] != generation_id
            and _was_refused(known[0])
        ):
            # The caller's own id ended before anything was reserved: its key goes to this one.
            await connection.execute(SQL["free_key"], known[0]["generation_id"])
            await connection.fetchval(
                SQL["insert"], generation_id, request.user_id, key, *_wish(request)
            )
            return await _claimed_anew(connection, generation_id)
        for row in known:
            if row["generation_id"] == generation_id and run_id in row["runs"]:
                _require_current(row, run_id)
        return await _claim_known(connection, known, request, key, generation_id)


def _require_current(row: Row, run_id: str | None) -> None:
    """Refuse an attempt of a run that is over: it comes late, and would begin again what ended."""
    stage = Stage(row["stage"])
    if stage in TERMINAL or _is_over(row["runs"], stage, run_id):
        raise RequestRefused(FailureKind.ALREADY_CLOSED, "This run of the generation has ended.")


def _is_over(runs: Sequence[str], stage: Stage, run_id: str | None) -> bool:
    """Whether another run has begun since `run_id` did, or a client has started it over."""
    return run_id in runs and (runs[-1] != run_id or stage is Stage.ACCEPTED)


async def is_over(connection: Connection, generation_id: str, run_id: str | None) -> bool:
    """Whether an attempt of this run comes late: the generation is another one's by now."""
    row = await connection.fetchrow(SQL["runs"], generation_id)
    return row is not None and _is_over(row["runs"], Stage(row["stage"]), run_id)


async def _claimed_anew(connection: Connection, generation_id: str) -> Claim:
    await _append(connection, generation_id, Stage.ACCEPTED, 1)
    return Claim(generation_id, Stage.ACCEPTED, is_new=True)


def _was_refused(row: Row) -> bool:
    """Whether it ended before anything was reserved: a refusal doesn't use its key up."""
    return Stage(row["stage"]) in TERMINAL and not row["reserved"]


def _wish(request: GenerationRequest) -> tuple[object, ...]:
    """The columns of what was asked for, in the order of `insert` and `revive`."""
    return (
        request_hash(request),
        request.model_dump(mode="json", exclude_none=True),
        request.operation.value,
        request.source.value,
        request.model,
    )


async def _claim_known(
    connection: Connection,
    known: Sequence[Row],
    request: GenerationRequest,
    key: str,
    generation_id: str,
) -> Claim:
    """What a claim finds where its id, its key or both are known already."""
    owner = (request.user_id, key)
    strangers = [row for row in known if (row["user_id"], row["idempotency_key"]) != owner]
    if strangers:
        raise _reused(strangers[0], request)
    (row,) = known
    first, stage = row["generation_id"], Stage(row["stage"])
    same = row["request_hash"] == request_hash(request)
    refused_before = _was_refused(row)
    if not same and (first != generation_id or not refused_before):
        raise _reused(row, request)
    if refused_before:
        await connection.execute(SQL["revive"], first, *_wish(request))
        await _append(connection, first, Stage.ACCEPTED, row["last_seq"] + 1)
        return Claim(first, Stage.ACCEPTED, is_new=True)
    return Claim(first, stage, is_new=False)


def _reused(row: Row, request: GenerationRequest) -> RequestRefused:
    if row["user_id"] != request.user_id:
        return RequestRefused(FailureKind.KEY_REUSED, "The workflow id is taken; choose another.")
    return RequestRefused(
        FailureKind.KEY_REUSED,
        f"idempotency_key: {request.idempotency_key!r} already names {row['generation_id']},"
        " which was asked for otherwise.",
    )


async def lock(connection: Connection, generation_id: str) -> Stage | None:
    """Wait for whoever moves this generation: the first lock of every transaction that does.

    Returns its stage; None where there is no such generation.
    """
    row = await connection.fetchrow(SQL["lock"], generation_id)
    return None if row is None else Stage(row["stage"])


async def record(
    connection: Connection,
    generation_id: str,
    stage: Stage,
    data: dict[str, Any] | None = None,
    *,
    failure: Failure | None = None,
) -> bool:
    """Move a generation to `stage` and append the event, in the caller's transaction.

    Returns False, and changes nothing, where the table of transitions does not allow it: a repeated
    activity finds its event there already.
    """
    row = await connection.fetchrow(SQL["lock"], generation_id)
    if row is None or not may_follow(Stage(row["stage"]), stage):
        return False
    await _append(connection, generation_id, stage, row["last_seq"] + 1, data, failure)
    return True


async def _append(
    connection: Connection,
    generation_id: str,
    stage: Stage,
    seq: int,
    data: dict[str, Any] | None = None,
    failure: Failure | None = None,
) -> None:
    told = failure.model_dump(mode="json") if failure is not None else None
    event = (data or {}) | ({"failure": told} if told else {})
    await connection.execute(
        SQL["append"], generation_id, seq, stage.value, event, told, stage in TERMINAL
    )


class Work(NamedTuple):
    """What the steps after the reservation need of a generation."""

    user_id: str
    source: str
    operation: str
    request: dict[str, Any]
    inputs: dict[str, str]
    """Role → media id."""
    body: dict[str, Any]
    """The provider's parameters without prompt and URLs."""
    terms: Terms
    prompt: str | None
    prompt_by: str | None
    prediction_id: str | None


async def work_of(connection: Connection, generation_id: str) -> Work:
    """A reserved generation.

    Raises:
        UnknownGeneration: no such id, or nothing was reserved for it.
    """
    row = await connection.fetchrow(SQL["work"], generation_id)
    if row is None or row["terms"] is None:
        raise UnknownGeneration(f"no reserved generation {generation_id!r}")
    columns: dict[str, Any] = dict(row)
    columns["terms"] = Terms.model_validate(row["terms"])
    return Work(**columns)


async def user_hash(connection: Connection, user_id: str) -> str:
    """32 hex characters that stand for a user in search attributes, fairness keys and file keys."""
    key = await connection.fetchval(SQL["hash_key"])
    return hmac.new(key.encode(), user_id.encode(), hashlib.sha256).hexdigest()[:32]

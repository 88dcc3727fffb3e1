"""Starting the workflow of a claimed generation, once: the same key gives the same generation."""

import asyncio
import uuid
from typing import Any, NamedTuple

from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.callbacks.rules import require_callback
from activities.callbacks.settings import CallbackSettings
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.ledger.repository import plan_of
from activities.ledger.settings import LedgerSettings
from starter.places import NotReachable
from workflows.contracts import queues
from workflows.contracts.catalogue import Catalogue
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.ids import generation_id_for
from workflows.contracts.media import MediaById
from workflows.contracts.quoting import choose
from workflows.contracts.requests import (
    WORKFLOW_TYPES,
    Claimed,
    GenerationRequest,
    SceneAnimationRequest,
)
from workflows.contracts.stages import TERMINAL, Stage, Status
from workflows.contracts.texts import summary_of

_USE_EXISTING = WorkflowIDConflictPolicy.USE_EXISTING
_FAIL = WorkflowIDConflictPolicy.FAIL

_ENDING_LOOKS = 20
_ENDING_PAUSE_S = 0.25
"""Five seconds: a refused run ends with its next task, milliseconds after its row says so."""


class Begun(NamedTuple):
    """What a start found."""

    generation_id: str
    is_new: bool
    """Whether this start made it, or brought a refused one back."""


class Launcher:
    """Claims ids and starts workflows."""

    def __init__(
        self,
        temporal: Client,
        pool: Pool,
        catalogue: Catalogue,
        settings: LedgerSettings,
        callbacks: CallbackSettings,
    ) -> None:
        self._temporal = temporal
        self._pool = pool
        self._catalogue = catalogue
        self._settings = settings
        self._callbacks = callbacks

    async def knows(self, request: GenerationRequest) -> bool:
        """Whether the request's key stands for a generation: to repeat it costs nothing."""
        key = request.idempotency_key
        return key is not None and await self._pool.fetchval(
            generations.SQL["key_is_known"], request.user_id, key
        )

    async def start(self, request: GenerationRequest) -> Begun:
        """Start a request that is complete, or find the generation that its key stands for.

        Raises:
            RequestRefused: the key names another request, the user is on no plan, or its
                callback_url can't be told.
            NotReachable: Temporal could not be asked; nothing was reserved.
        """
        await require_callback(self._pool, request, self._callbacks)
        key = request.idempotency_key or uuid.uuid4().hex
        request = request.model_copy(update={"idempotency_key": key})
        generation_id = generation_id_for(request.user_id, key)
        async with self._pool.acquire() as connection:
            # Who has no plan is refused before anything is recorded.
            plan = await plan_of(connection, request.user_id, self._settings)
            user_hash = await generations.user_hash(connection, request.user_id)
            claimed = await generations.claim(connection, generation_id, request)
        first = claimed.generation_id
        if claimed.stage in TERMINAL:
            return Begun(first, claimed.is_new)
        priority = Priority(fairness_key=user_hash, fairness_weight=plan.fairness_weight)
        if claimed.is_new:
            await self._after_the_run_before(first, request, priority)
        else:
            await self._start_workflow(first, request, priority, _USE_EXISTING)
        return Begun(first, claimed.is_new)

    async def _after_the_run_before(
        self, generation_id: str, request: GenerationRequest, priority: Priority
    ) -> None:
        """Start a run of its own for a new claim: one that was refused may be about to end.

        It would take the start and do nothing with it.
        """
        for _ in range(_ENDING_LOOKS):
            if await self._start_workflow(generation_id, request, priority, _FAIL):
                return
            await asyncio.sleep(_ENDING_PAUSE_S)
        await self._start_workflow(generation_id, request, priority, _USE_EXISTING)

    async def _start_workflow(
        self,
        generation_id: str,
        request: GenerationRequest,
        priority: Priority,
        where_one_runs: WorkflowIDConflictPolicy,
    ) -> bool:
        """Whether a run took the start: a new one or, by that policy, the one that runs."""
        model = choose(self._catalogue, request).title
        attributes = TypedSearchAttributes(
            [
                SearchAttributePair(queues.USER, str(priority.fairness_key)),
                SearchAttributePair(queues.OPERATION, request.operation.value),
                SearchAttributePair(queues.SOURCE, request.source.value),
                SearchAttributePair(queues.STATUS, Status.RUNNING.value),
            ]
        )
        try:
            await self._temporal.start_workflow(
                WORKFLOW_TYPES[request.operation],
                _input(request),
                id=generation_id,
                task_queue=queues.TaskQueue.GENERATIONS.value,
                id_conflict_policy=where_one_runs,
                # A refused or lost run may start over under its id; the ledger never pays twice.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary=summary_of(f"{model}: {_what(request)}"),
                search_attributes=attributes,
                priority=priority,
            )
        except WorkflowAlreadyStartedError:
            # One runs; or it completed between the claim and the start, and is the answer.
            return False
        except RPCError as error:
            await self._start_failed(generation_id)
            raise NotReachable(f"Temporal did not take the start ({error.status.name}).") from error
        return True

    async def _start_failed(self, generation_id: str) -> None:
        """No list should show a start that nobody took; a workflow that did begin revives it."""
        told = failure(FailureKind.INTERNAL, "Temporal did not take the start.")
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(generations.SQL["lock"], generation_id)
            if row is not None and Stage(row["stage"]) is Stage.ACCEPTED:
                await generations.record(connection, generation_id, Stage.FAILED, failure=told)


def _input(request: GenerationRequest) -> dict[str, Any]:
    """The workflow's input. A callback's address may hold a key, so it is kept out of histories."""
    if request.callback_url is not None:
        return Claimed().model_dump(mode="json")
    return request.model_dump(mode="json", exclude_none=True)


def _what(request: GenerationRequest) -> str:
    """What is asked for, in the caller's words, for the Web UI."""
    if isinstance(request, SceneAnimationRequest):
        scene = request.scene
        return "a stored scene" if isinstance(scene, MediaById) else scene.heading()
    return request.prompt or "a talking avatar"

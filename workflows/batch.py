"""`Batch`: many generations, reserved as one and carried out a few at a time.

Each item is a child that follows its own operation's life and outlives this workflow; what its end
costs and means is its own. Here is only the order: the whole is held or refused, items are started
as there is room, a cancel is passed on.

    reserve ──▶ start items as there is room ──▶ all have ended     completed, however each did
            │                               └──▶ a cancel            pass it on, close what waits
            └─▶ refused                                              failed: nothing was held
"""

import asyncio
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal

from temporalio import workflow
from temporalio.common import Priority, RawValue, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)

with workflow.unsafe.imports_passed_through():
    from workflows import timeouts
    from workflows.contracts import callbacks, queues
    from workflows.contracts.activities import ForGeneration
    from workflows.contracts.batch_results import BatchState
    from workflows.contracts.batches import (
        PAGE,
        WORKFLOW_TYPE,
        Batches,
        BatchResult,
        BatchTerms,
        CloseBatch,
        ClosedWaiting,
        CloseWaiting,
        ForBatch,
        Item,
        Look,
        NextItems,
        Window,
    )
    from workflows.contracts.failures import Failure, FailureKind, failure
    from workflows.contracts.ids import callbacks_id_for
    from workflows.contracts.requests import WORKFLOW_TYPES, Claimed
    from workflows.contracts.texts import dollars, summary_of
    from workflows.ends import failure_of
    from workflows.intake import NOTHING, OneInput, parse, raised

ASKS_BY_ID = "a batch's cancel goes to its items by id"
"""Histories from before it tell only the run that they started, and it may have a successor."""

Child = workflow.ChildWorkflowHandle[Any, Any]
Ending = Literal[BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED]


@workflow.defn(name=WORKFLOW_TYPE)
class Batch(OneInput):
    """One batch; the workflow id is the batch id. Its state is what this run started itself."""

    # `OneInput.__new__` takes any number of inputs, to refuse what this signature would choke on.
    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        self.batch_id = workflow.info().workflow_id
        self.wrong = _wrong(raw, self.batch_id)
        self.terms: BatchTerms | None = None
        self.next: deque[Item] = deque()
        """Read from the database, not started yet."""
        self.fetched_to = self.started_to = 0
        self.all_fetched = False
        self.children: dict[str, Child] = {}
        """Started by this run and not ended."""
        self.ends = 0
        self.stray_total = self.strays = 0
        """Of those that somebody else started, an earlier run of this batch mostly: all, and how
        many go on as far as we know."""
        self.lost: set[int] = set()
        """Positions of those whose workflow was terminated: the database goes on showing where they
        were, until somebody starts them again."""

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> BatchResult:  # noqa: ARG002 - parsed in init
        """Carry the batch out; a cancel is looked at between its steps and interrupts none."""
        steps = asyncio.create_task(self._carry_out())
        with suppress(asyncio.CancelledError):
            await asyncio.shield(steps)
        return await steps

    async def _carry_out(self) -> BatchResult:
        if self.wrong is not None:
            raise raised(self.wrong)
        terms = await self._reserve()
        await self._start_as_there_is_room(terms)
        if not self.cancelled:
            return await self._close(BatchState.COMPLETED)
        await self._pass_the_cancel_on()
        ends = await self._close(BatchState.CANCELLED)
        raise CancelledError(f"Cancelled; {ends.completed} of {terms.items} were completed.")

    # Steps

    async def _reserve(self) -> BatchTerms:
        """Hold the whole, or end with why not."""
        try:
            terms = await workflow.execute_activity_method(
                Batches.reserve,
                ForBatch(batch_id=self.batch_id),
                summary="price every item, hold all or none",
                **timeouts.RESERVE_BATCH,
            )
        except ActivityError as error:
            told = failure_of(error, FailureKind.INTERNAL, self.batch_id)
            if told.kind is not FailureKind.ALREADY_CLOSED:
                # Whatever it says, it may have held: an attempt whose answer was lost, an earlier
                # run. Where nothing is held, there is nothing to close.
                await self._close_waiting()
                await self._close(BatchState.FAILED, told)
            raise raised(told) from None
        self.terms = terms
        return terms

    async def _start_as_there_is_room(self, terms: BatchTerms) -> None:
        """Start items until all have ended, or a cancel came."""
        seen = await self._look()
        self.stray_total = self.strays = _left(seen)
        looks = 0
        while not self.cancelled and (seen.waiting or _left(seen)):
            await self._fill(terms, seen, looks)
            before = self.strays
            seen = await self._look()
            self.strays = max(0, min(self.stray_total, _left(seen) - len(self.children)))
            looks = looks + 1 if before == self.strays else 0

    async def _fill(self, terms: BatchTerms, seen: Window, looks: int) -> None:
        """Start what there is room for and what follows it, until the counts must be read again."""
        ended = False
        while not self.cancelled:
            before = self.ends
            active = len(self.children) + self.strays - seen.parked
            await self._start_next(terms, terms.max_parallel - active)
            if ended and (seen.parked or not self.children):
                # Who ended may have been parked, and held no place; or all is over.
                return
            ended = await self._an_end_after(before, self._pause(looks))
            if not ended:
                return

    async def _start_next(self, terms: BatchTerms, room: int) -> None:
        """Start up to `room` items."""
        started = 0
        while started < room and not self.cancelled:
            items = await self._next_items(room - started)
            if not items:
                return
            await asyncio.gather(*(self._start(terms, item) for item in items))
            started += len(items)
            self._tell()

    async def _next_items(self, count: int) -> list[Item]:
        if not self.next and not self.all_fetched:
            page = await workflow.execute_activity_method(
                Batches.list_waiting,
                NextItems(batch_id=self.batch_id, after=self.fetched_to),
                summary=f"the next items, after {self.fetched_to}",
                **timeouts.DATABASE,
            )
            self.next.extend(page.items)
            self.all_fetched = len(page.items) < PAGE
            self.fetched_to = page.items[-1].position if page.items else self.fetched_to
        return [self.next.popleft() for _ in range(min(count, len(self.next)))]

    async def _start(self, terms: BatchTerms, item: Item) -> None:
        """Start one item; it draws on what is held for the whole."""
        self.started_to = max(self.started_to, item.position)
        try:
            child: Child = await workflow.start_child_workflow(
                WORKFLOW_TYPES[item.operation],
                Claimed(),
                id=item.generation_id,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                # As the starter does: a refused or lost run may start over, a completed one not.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                priority=Priority(
                    fairness_key=terms.user_hash, fairness_weight=terms.fairness_weight
                ),
                static_summary=f"item {item.position} of {self.batch_id}",
            )
        except WorkflowAlreadyStartedError:
            # An earlier run of this batch started it, or another key's owner: it goes on by itself.
            self.stray_total += 1
            self.strays += 1
            return
        self.children[item.generation_id] = child
        child.add_done_callback(lambda ended: self._child_ended(item, ended))

    def _child_ended(self, item: Item, child: "asyncio.Task[Any]") -> None:
        """An end is the item's own, whatever it is; but a terminated one told nobody."""
        del self.children[item.generation_id]
        self.ends += 1
        error = None if child.cancelled() else child.exception()
        cause = error.cause if isinstance(error, ChildWorkflowError) else None
        if error is not None and not isinstance(cause, ApplicationError | CancelledError):
            self.lost.add(item.position)

    async def _an_end_after(self, before: int, pause: timedelta | None) -> bool:
        """Wait until more than `before` children have ended. False after the pause, or a cancel."""
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self.ends > before or self.cancelled,
                timeout=pause,
                timeout_summary="look again how the items stand",
            )
        return self.ends > before

    def _pause(self, looks: int) -> timedelta | None:
        """How long until the counts are read again, though no child has ended; None = for ever."""
        if self.strays:
            return timeouts.widening(looks, timeouts.STRAY_LOOK_MIN, timeouts.WINDOW_LOOK_MAX)
        if self.next or not self.all_fetched or not self.children:
            return timeouts.widening(looks, timeouts.WINDOW_LOOK_MIN, timeouts.WINDOW_LOOK_MAX)
        return None

    async def _look(self) -> Window:
        seen = await workflow.execute_activity_method(
            Batches.look,
            Look(batch_id=self.batch_id, started_to=self.started_to, lost=tuple(sorted(self.lost))),
            summary="how the items stand",
            **timeouts.DATABASE,
        )
        self._tell(seen)
        return seen

    # A cancel

    @property
    def cancelled(self) -> bool:
        """Whether a cancel was requested."""
        return workflow.cancellation_reason() is not None

    async def _pass_the_cancel_on(self) -> None:
        """Cancel what runs, close what waits, and wait until all of it has ended."""
        asked = set(self.children)
        if workflow.patched(ASKS_BY_ID):
            # By its handle, a child that has gone on in a new run would never hear of it.
            await asyncio.gather(*map(_cancel_by_id, sorted(asked)))
        else:
            for child in tuple(self.children.values()):
                child.cancel()
        await self._close_waiting()
        await self._cancel_strays(asked)
        await workflow.wait_condition(lambda: not self.children)
        looks, until = 0, workflow.now() + timeouts.STRAY_PATIENCE
        while await self._cancel_strays(asked) and workflow.now() < until:
            pause = timeouts.widening(looks, timeouts.STRAY_LOOK_MIN, timeouts.WINDOW_LOOK_MAX)
            await workflow.sleep(pause, summary="wait for what an earlier run started")
            looks += 1

    async def _close_waiting(self) -> None:
        """Close what was never started; whoever gave a callback_url for it is told."""
        closed = ClosedWaiting(closed=0, is_all=False)
        while not closed.is_all:
            closed = await workflow.execute_activity_method(
                Batches.close_waiting,
                CloseWaiting(
                    batch_id=self.batch_id, started_to=self.started_to, told_to=closed.told_to
                ),
                summary="cancel what was never started, release its holds",
                **timeouts.CLOSE_WAITING,
            )
            await asyncio.gather(*map(_tell_callbacks, closed.to_tell))

    async def _cancel_strays(self, asked: set[str]) -> int:
        """Ask what an earlier run started to end, once each; returns how many go on."""
        after, left = 0, 0
        while True:
            page = await workflow.execute_activity_method(
                Batches.list_started,
                NextItems(batch_id=self.batch_id, after=after),
                summary=f"what still runs, after {after}",
                **timeouts.DATABASE,
            )
            for item in page.items:
                if item.generation_id not in asked:
                    asked.add(item.generation_id)
                    await self._cancel_one(item)
                left += item.position not in self.lost
            if len(page.items) < PAGE:
                return left
            after = page.items[-1].position

    async def _cancel_one(self, item: Item) -> None:
        try:
            await workflow.get_external_workflow_handle(item.generation_id).cancel()
        except ApplicationError:
            # No such workflow runs: it ended just now, or was terminated.
            self.lost.add(item.position)
        else:
            # One that was lost runs again, if anybody started it.
            self.lost.discard(item.position)

    # The end

    async def _close(self, state: Ending, told: Failure | None = None) -> BatchResult:
        ends = await workflow.execute_activity_method(
            Batches.close,
            CloseBatch(
                batch_id=self.batch_id, state=state, failure=told, lost=tuple(sorted(self.lost))
            ),
            summary=f"close: {state}",
            **timeouts.DATABASE,
        )
        workflow.upsert_search_attributes([queues.STATUS.value_set(state.value)])
        told_ends = f"{ends.completed} completed, {ends.failed} failed, {ends.cancelled} cancelled"
        workflow.set_current_details(f"**{state}**: {told.message if told else told_ends}")
        return ends

    def _tell(self, seen: Window | None = None) -> None:
        """The Web UI's current details, as Markdown."""
        held = dollars(self.terms.quoted_usd_micros) if self.terms else "nothing"
        items = self.terms.items if self.terms else 0
        rows = [
            ("items", f"{items}, started up to number {self.started_to}"),
            ("reserved", held),
            ("running here", f"{len(self.children)}"),
        ]
        if seen is not None:
            counts = f"{seen.active} active, {seen.parked} parked, {seen.waiting} waiting"
            rows.append(("all", counts))
        lines = (f"| {name} | {text} |" for name, text in rows)
        workflow.set_current_details("\n".join(["| | |", "|---|---|", *lines]))


async def _cancel_by_id(generation_id: str) -> None:
    """Whichever run of it is the last; one that has ended meanwhile needs none."""
    with suppress(ApplicationError):
        await workflow.get_external_workflow_handle(generation_id).cancel()


async def _tell_callbacks(generation_id: str) -> None:
    """Nothing else runs for a generation that was never started."""
    with suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            callbacks.WORKFLOW_TYPE,
            ForGeneration(generation_id=generation_id),
            id=callbacks_id_for(generation_id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            static_summary="tells the callback_url of every stage",
        )


def _left(seen: Window) -> int:
    """How many were started and have not ended."""
    return seen.active + seen.parked


def _wrong(raw: RawValue, workflow_id: str) -> Failure | None:
    """Why the input is none; None where it is fine."""
    asked = parse(raw, ForBatch)
    if isinstance(asked, Failure):
        return asked
    if isinstance(asked, Claimed):
        return failure(FailureKind.INVALID_REQUEST, "batch_id: missing.")
    if asked.batch_id != workflow_id:
        return failure(
            FailureKind.INVALID_REQUEST,
            summary_of(f"batch_id: {asked.batch_id}; allowed: the workflow's own id."),
        )
    return None

"""A batch on the stage: its items play scripts of their own, and are counted by what these did."""

import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from tests.workflows.scripted import Answer, Gate, Script, terms_of
from tests.workflows.theatre import Theatre, until
from workflows.contracts.activities import PredictionEnd
from workflows.contracts.batches import (
    PAGE,
    BatchResult,
    BatchTerms,
    CloseBatch,
    ClosedWaiting,
    CloseWaiting,
    Item,
    Items,
    Look,
    NextItems,
    Window,
)
from workflows.contracts.ids import batch_id_for, generation_id_for
from workflows.contracts.queues import TaskQueue
from workflows.contracts.requests import Operation, Source

MakeEpisode = Callable[..., "Episode"]
BatchRun = WorkflowHandle[Any, Any]


class Episode(Script):
    """The database of one batch: it answers what the activities would read of their rows."""

    def __init__(self, theatre: Theatre, size: int, *, max_parallel: int = 2) -> None:
        super().__init__()
        self.theatre = theatre
        key = uuid.uuid4().hex
        self.batch_id = batch_id_for("ada", key)
        self.ids = [generation_id_for("ada", f"{key}-{n}") for n in range(1, size + 1)]
        self.items = {generation_id: Script() for generation_id in self.ids}
        self.never_started: set[str] = set()
        """Closed before their start."""
        self.terms = BatchTerms(
            batch_id=self.batch_id,
            items=size,
            quoted_usd_micros=500_000 * size,
            max_parallel=max_parallel,
            source=Source.STORY_WRITER,
            user_hash="5f" * 16,
            fairness_weight=2.0,
        )
        self.at_once = 0
        """The most items that were active together."""
        theatre.stagehand.scripts |= self.items
        theatre.stagehand.scripts[self.batch_id] = self
        self.on("batches.reserve", self.terms)
        self.on("batches.look", self._look)
        self.on("batches.list_waiting", self._list_waiting)
        self.on("batches.list_started", self._list_started)
        self.on("batches.close_waiting", self._close_waiting)
        self.on("batches.close", self._close)
        for script in self.items.values():
            script.on("ledger.reserve", self._reserved)

    async def start(self, *inputs: object, workflow_id: str | None = None) -> BatchRun:
        """Start the batch's workflow, or start it again after its end."""
        run: BatchRun = await self.theatre.client.start_workflow(
            "Batch",
            args=list(inputs or ({"batch_id": self.batch_id},)),
            id=workflow_id or self.batch_id,
            task_queue=TaskQueue.GENERATIONS,
            result_type=BatchResult,
        )
        self.theatre.started.append(run)
        return run

    def instead(self, name: str, *answers: Answer) -> Self:
        """Answer `name` with these, not from the rows."""
        self._answers[name] = list(answers)
        return self

    def item(self, number: int) -> Script:
        """The script of the item at a position, which counts from 1."""
        return self.items[self.ids[number - 1]]

    def hold_up(self, numbers: Iterable[int]) -> dict[int, Gate]:
        """Let the provider's jobs of these items take until the test opens their gates."""
        gates = {number: Gate(PredictionEnd(state="completed")) for number in numbers}
        for number, gate in gates.items():
            self.item(number).on("provider.poll", gate)
        return gates

    def state(self, generation_id: str) -> str:
        """`waiting`, `active`, `parked` or how it ended."""
        calls = self.items[generation_id].calls
        if generation_id in self.never_started:
            return "cancelled"
        if "ledger.record_usage" in calls:
            return "completed"
        if "ledger.close" in calls:
            kind, _ = self.items[generation_id].closed()
            return "cancelled" if kind == "cancelled" else "failed"
        if calls and calls[-1] in {"ledger.park", "provider.check"}:
            return "parked"
        return "active" if calls else "waiting"

    def states(self) -> list[str]:
        """Of every item in order."""
        return [self.state(generation_id) for generation_id in self.ids]

    async def reaches(self, *states: str) -> None:
        """Wait until the items are in these states."""
        try:
            await until(lambda: self.states() == list(states))
        except TimeoutError:
            raise AssertionError(f"they are {self.states()}") from None

    async def end(self) -> None:
        """End what the test left of the items."""
        for generation_id, script in self.items.items():
            script.open_gates()
            with suppress(RPCError):  # it has ended, or was never started
                await self.theatre.client.get_workflow_handle(generation_id).terminate()

    async def _reserved(self, task: Any) -> Any:
        self.at_once = max(self.at_once, self.states().count("active"))
        return terms_of(task.generation_id)

    async def _look(self, task: Look) -> Window:
        states = self.states()
        begun = [
            "active" if state == "waiting" and position <= task.started_to else state
            for position, state in enumerate(states, start=1)
            if position not in task.lost
        ]
        return Window(
            waiting=begun.count("waiting"),
            active=begun.count("active"),
            parked=begun.count("parked"),
        )

    def _page(self, after: int, states: set[str]) -> Items:
        found = [
            Item(
                position=position,
                generation_id=generation_id,
                operation=Operation.IMAGE_TO_VIDEO,
            )
            for position, generation_id in enumerate(self.ids, start=1)
            if position > after and self.state(generation_id) in states
        ]
        return Items(items=tuple(found[:PAGE]))

    async def _list_waiting(self, task: NextItems) -> Items:
        return self._page(task.after, {"waiting"})

    async def _list_started(self, task: NextItems) -> Items:
        return self._page(task.after, {"active", "parked"})

    async def _close_waiting(self, task: CloseWaiting) -> ClosedWaiting:
        waiting = {i.generation_id for i in self._page(task.started_to, {"waiting"}).items}
        self.never_started |= waiting
        return ClosedWaiting(closed=len(waiting), is_all=not waiting)

    async def _close(self, task: CloseBatch) -> BatchResult:
        states = [
            "failed"
            if position in task.lost and state in {"waiting", "active", "parked"}
            else state
            for position, state in enumerate(self.states(), start=1)
        ]
        return BatchResult(
            completed=states.count("completed"),
            failed=states.count("failed"),
            cancelled=states.count("cancelled"),
        )

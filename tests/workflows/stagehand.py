"""Plays every activity of the application by the script of the generation it is called for."""

from typing import Any, TypeVar, cast

from pydantic import BaseModel
from temporalio import activity

from tests.workflows.scripted import Script
from workers.wiring import Activities
from workflows.contracts import activities as contract
from workflows.contracts.activities import (
    Booked,
    Close,
    Doubt,
    Download,
    ForGeneration,
    InputsStaged,
    Park,
    PredictionEnd,
    PromptBuilt,
    Reconciled,
    Reserve,
    Resolve,
    Save,
    Saved,
    Submitted,
    Watch,
    Withdrawn,
)
from workflows.contracts.batches import (
    Batches,
    BatchResult,
    BatchTerms,
    CloseBatch,
    ClosedWaiting,
    CloseWaiting,
    ForBatch,
    Items,
    Look,
    NextItems,
    Window,
)
from workflows.contracts.callbacks import Callbacks, Delivery, GivenUp, GiveUp
from workflows.contracts.results import StoredVideo
from workflows.contracts.sweeps import Sweeping, SweepRecord, Swept
from workflows.contracts.terms import Terms

T = TypeVar("T", bound=BaseModel)


class Stagehand:
    """Finds the script of the generation that an activity is called for."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}

    async def play(self, name: str, task: BaseModel, kind: type[T]) -> T:
        terms: Terms | None = getattr(task, "terms", None)
        named = getattr(task, "batch_id", getattr(task, "generation_id", ""))
        generation_id: str = terms.generation_id if terms else named
        answer = await self.scripts[generation_id].play(name, task)
        assert isinstance(answer, kind), f"{name} answers {kind.__name__}"
        return answer

    def activities(self) -> Activities:
        """The application's set of activities, every one of them scripted."""
        parts = (
            *(ScriptedLedger, ScriptedPrompts, ScriptedProvider, ScriptedMedia, ScriptedLibrary),
            *(ScriptedCallbacks, ScriptedBatches, ScriptedSweeps),
        )
        return Activities(*cast("list[Any]", [part(self) for part in parts]))


class _Scripted:
    def __init__(self, stagehand: Stagehand) -> None:
        self._play = stagehand.play


class ScriptedLedger(_Scripted, contract.Ledger):
    @activity.defn(name="ledger.reserve")
    async def reserve(self, task: Reserve) -> Terms:
        return await self._play("ledger.reserve", task, Terms)

    @activity.defn(name="ledger.record_usage")
    async def record_usage(self, task: ForGeneration) -> Booked:
        return await self._play("ledger.record_usage", task, Booked)

    @activity.defn(name="ledger.close")
    async def close(self, task: Close) -> Booked:
        return await self._play("ledger.close", task, Booked)

    @activity.defn(name="ledger.park")
    async def park(self, task: Park) -> Booked:
        return await self._play("ledger.park", task, Booked)


class ScriptedPrompts(_Scripted, contract.Prompts):
    @activity.defn(name="prompts.build_prompt")
    async def build_prompt(self, task: ForGeneration) -> PromptBuilt:
        return await self._play("prompts.build_prompt", task, PromptBuilt)


class ScriptedProvider(_Scripted, contract.Provider):
    @activity.defn(name="provider.stage_inputs")
    async def stage_inputs(self, task: ForGeneration) -> InputsStaged:
        return await self._play("provider.stage_inputs", task, InputsStaged)

    @activity.defn(name="provider.submit")
    async def submit(self, task: ForGeneration) -> Submitted:
        return await self._play("provider.submit", task, Submitted)

    @activity.defn(name="provider.reconcile")
    async def reconcile(self, task: Doubt) -> Reconciled:
        return await self._play("provider.reconcile", task, Reconciled)

    @activity.defn(name="provider.resolve")
    async def resolve(self, task: Resolve) -> Reconciled:
        return await self._play("provider.resolve", task, Reconciled)

    @activity.defn(name="provider.poll")
    async def poll(self, task: Watch) -> PredictionEnd:
        return await self._play("provider.poll", task, PredictionEnd)

    @activity.defn(name="provider.check")
    async def check(self, task: Watch) -> PredictionEnd:
        return await self._play("provider.check", task, PredictionEnd)

    @activity.defn(name="provider.withdraw")
    async def withdraw(self, task: Watch) -> Withdrawn:
        return await self._play("provider.withdraw", task, Withdrawn)


class ScriptedMedia(_Scripted, contract.Media):
    @activity.defn(name="media.download")
    async def download(self, task: Download) -> StoredVideo:
        return await self._play("media.download", task, StoredVideo)


class ScriptedLibrary(_Scripted, contract.Library):
    @activity.defn(name="library.save")
    async def save(self, task: Save) -> Saved:
        return await self._play("library.save", task, Saved)


class ScriptedCallbacks(_Scripted, Callbacks):
    @activity.defn(name="callbacks.deliver")
    async def deliver(self, task: ForGeneration) -> Delivery:
        return await self._play("callbacks.deliver", task, Delivery)

    @activity.defn(name="callbacks.give_up")
    async def give_up(self, task: GiveUp) -> GivenUp:
        return await self._play("callbacks.give_up", task, GivenUp)


class ScriptedBatches(_Scripted, Batches):
    @activity.defn(name="batches.reserve")
    async def reserve(self, task: ForBatch) -> BatchTerms:
        return await self._play("batches.reserve", task, BatchTerms)

    @activity.defn(name="batches.look")
    async def look(self, task: Look) -> Window:
        return await self._play("batches.look", task, Window)

    @activity.defn(name="batches.list_waiting")
    async def list_waiting(self, task: NextItems) -> Items:
        return await self._play("batches.list_waiting", task, Items)

    @activity.defn(name="batches.list_started")
    async def list_started(self, task: NextItems) -> Items:
        return await self._play("batches.list_started", task, Items)

    @activity.defn(name="batches.close_waiting")
    async def close_waiting(self, task: CloseWaiting) -> ClosedWaiting:
        return await self._play("batches.close_waiting", task, ClosedWaiting)

    @activity.defn(name="batches.close")
    async def close(self, task: CloseBatch) -> BatchResult:
        return await self._play("batches.close", task, BatchResult)


class ScriptedSweeps(_Scripted, Sweeping):
    """A sweep is of no generation: its script stands under the empty id."""

    @activity.defn(name="sweeping.restart_gone")
    async def restart_gone(self) -> Swept:
        return await self._play("sweeping.restart_gone", Swept(), Swept)

    @activity.defn(name="sweeping.read_bills")
    async def read_bills(self) -> Swept:
        return await self._play("sweeping.read_bills", Swept(), Swept)

    @activity.defn(name="sweeping.find_strays")
    async def find_strays(self) -> Swept:
        return await self._play("sweeping.find_strays", Swept(), Swept)

    @activity.defn(name="sweeping.tidy_media")
    async def tidy_media(self) -> Swept:
        return await self._play("sweeping.tidy_media", Swept(), Swept)

    @activity.defn(name="sweeping.audit")
    async def audit(self) -> Swept:
        return await self._play("sweeping.audit", Swept(), Swept)

    @activity.defn(name="sweeping.record")
    async def record(self, sweep: SweepRecord) -> None:
        await self._play("sweeping.record", sweep, Swept)

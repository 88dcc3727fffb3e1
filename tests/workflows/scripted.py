"""Activities that say what a test scripted: the workflow is real, the world is not."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar, cast

from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError

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
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.media import VideoFacts
from workflows.contracts.quoting import Quote
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import StoredVideo
from workflows.contracts.sweeps import Sweeping, SweepRecord, Swept
from workflows.contracts.terms import Terms

T = TypeVar("T", bound=BaseModel)
Play = Callable[[Any], Awaitable[BaseModel]]
Answer = BaseModel | BaseException | Play

PREDICTION = "0123456789abcdef0123456789abcdef"
PROMPT = "The boats rock gently while the sun goes down"
MODEL = "alibaba/wan-2.5/image-to-video"
HELD = "$0.50 stays reserved."
CLOSED = Booked(cost_usd_micros=0, money="Nothing was charged.")
TO_BE_TOLD = CLOSED.model_copy(update={"callback": True})
"""What the ledger says of a request that has a callback_url."""

VIDEO = StoredVideo(
    key="videos/ab/cd.mp4",
    poster_key="posters/ab/cd.jpg",
    facts=VideoFacts(
        size_bytes=812_345,
        sha256="ab" * 32,
        duration_s=5.04,
        width=1280,
        height=720,
        codec="h264",
        frames=121,
    ),
    warnings=("It is 0.04 s longer than asked.",),
)


_INPUTS: dict[Operation, dict[str, Any]] = {
    Operation.IMAGE_TO_VIDEO: {"prompt": PROMPT},
    Operation.SCENE_ANIMATION: {"scene": {"scene_number": 3, "title": PROMPT}},
    Operation.TALKING_AVATAR: {"audio": {"media_id": "med_" + "b" * 26}},
}


def a_request(
    operation: Operation = Operation.IMAGE_TO_VIDEO, /, **changes: object
) -> dict[str, Any]:
    """The JSON of a request that is fine."""
    return {
        "user_id": "ada",
        "source": "video_studio",
        "image": {"media_id": "med_" + "a" * 26},
        **_INPUTS[operation],
        **changes,
    }


def terms_of(
    generation_id: str,
    *,
    deadline_s: int = 600,
    operation: Operation = Operation.IMAGE_TO_VIDEO,
    callback: bool = False,
) -> Terms:
    return Terms(
        generation_id=generation_id,
        operation=operation,
        source=Source.VIDEO_STUDIO,
        user_hash="5f" * 16,
        provider="sandbox",
        base_url="http://127.0.0.1:4010/api/v3",
        key_fingerprint="0123456789ab",
        provider_path=MODEL,
        parameters={"duration": 5, "resolution": "720p", "seed": -1},
        quote=Quote(
            model=MODEL,
            catalogue_version="2026-08",
            cost_usd_micros=500_000,
            duration_s=5,
            resolution="720p",
            width=1280,
            height=720,
            deadline_s=deadline_s,
            expected_s=60,
        ),
        reserved_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        callback=callback,
    )


def _terms_for(task: Reserve) -> Terms:
    """What a reservation answers; of what was claimed before, an image-to-video's."""
    if task.request is None:
        return terms_of(task.generation_id)
    return terms_of(
        task.generation_id,
        operation=task.request.operation,
        callback=task.request.callback_url is not None,
    )


def refused(
    kind: FailureKind, message: str = "It is refused.", *, wait: timedelta | None = None
) -> ApplicationError:
    """An error as the activities' boundary raises it, for good."""
    return ApplicationError(
        message,
        failure(kind, message).model_dump(mode="json"),
        type=kind.value,
        non_retryable=True,
        next_retry_delay=wait,
    )


class Gate:
    """An activity that is under way until the test opens it; its heartbeats let a cancel in.

    `outlasts` as `provider.submit` does: it sees the cancel, and goes on.
    """

    def __init__(self, answer: BaseModel | BaseException, *, outlasts: bool = False) -> None:
        self._answer = answer
        self._outlasts = outlasts
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, _: object) -> BaseModel:
        self.entered.set()
        while not self.opened.is_set():
            try:
                activity.heartbeat()
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                self.cancelled.set()
                if not self._outlasts:
                    raise
        return given(self._answer)


def given(answer: BaseModel | BaseException) -> BaseModel:
    if isinstance(answer, BaseException):
        # The same error may be raised again and again: its traceback must not grow.
        raise answer.with_traceback(None)
    return answer


class Script:
    """What the activities of one generation answer, and the record of what they were asked."""

    def __init__(self) -> None:
        self._answers: dict[str, list[Answer]] = defaultdict(list)
        self.asked: list[tuple[str, BaseModel]] = []

    def on(self, name: str, *answers: Answer) -> Self:
        """Answer `name` with these in turn; the last one again and again."""
        self._answers[name] += answers
        return self

    @property
    def calls(self) -> list[str]:
        """The activities in the order of their calls."""
        return [name for name, _ in self.asked]

    def count(self, name: str) -> int:
        return self.calls.count(name)

    def last(self, name: str, kind: type[T]) -> T:
        """What `name` was asked last."""
        task = [task for asked, task in self.asked if asked == name][-1]
        assert isinstance(task, kind)
        return task

    def closed(self) -> tuple[FailureKind, str]:
        """Why the ledger closed it, and what that does to the money; exactly one close."""
        assert self.count("ledger.close") == 1
        task = self.last("ledger.close", Close)
        return task.failure.kind, task.settle

    async def play(self, name: str, task: BaseModel) -> BaseModel:
        self.asked.append((name, task))
        scripted = self._answers[name]
        if not scripted:
            return _USUAL[name](task)
        answer = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        return (
            given(answer) if isinstance(answer, BaseModel | BaseException) else await answer(task)
        )

    def open_gates(self) -> None:
        """Let every activity end that still waits for the test."""
        for answers in self._answers.values():
            for answer in answers:
                if isinstance(answer, Gate):
                    answer.opened.set()


_USUAL: dict[str, Callable[[Any], BaseModel]] = {
    "ledger.reserve": _terms_for,
    "ledger.record_usage": lambda _: Booked(cost_usd_micros=500_000, money="$0.50 was booked."),
    "ledger.close": lambda _: CLOSED,
    "ledger.park": lambda _: Booked(cost_usd_micros=0, money=HELD),
    "prompts.build_prompt": lambda _: PromptBuilt(prompt_by="caller"),
    "provider.stage_inputs": lambda _: InputsStaged(inputs=1),
    "provider.submit": lambda _: Submitted(prediction_id=PREDICTION),
    "provider.poll": lambda _: PredictionEnd(state="completed"),
    "provider.check": lambda _: PredictionEnd(state="running"),
    "provider.withdraw": lambda _: Withdrawn(state="deleted"),
    "media.download": lambda _: VIDEO,
    "library.save": lambda _: Saved(asset_id="ast_" + "b" * 26),
    "callbacks.deliver": lambda _: Delivery(state="done", delivered_seq=10),
    "callbacks.give_up": lambda _: GivenUp(untold=3),
    "sweeping.restart_gone": lambda _: Swept(),
    "sweeping.read_bills": lambda _: Swept(),
    "sweeping.find_strays": lambda _: Swept(),
    "sweeping.tidy_media": lambda _: Swept(),
    "sweeping.audit": lambda _: Swept(),
    "sweeping.record": lambda _: Swept(),
}


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

"""What every operation shares: the steps of a generation, and its end without a video.

An operation's `run` calls the steps in order (see `image_to_video`). The paid submission has its
own loop in `submission`, the wait for the provider's job in `waiting`, a parked one's way into a
new run is in `continuing`; all use the state that `messages` keeps.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.types import MethodAsyncSingleParam

from workflows import timeouts
from workflows.contracts import queues
from workflows.contracts.activities import (
    Close,
    Download,
    ForGeneration,
    Ledger,
    Library,
    Media,
    Prompts,
    Provider,
    Reserve,
    Save,
)
from workflows.contracts.failures import OF_ANOTHER, Failure, FailureKind, failure
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.requests import Claimed
from workflows.contracts.results import GenerationResult, StoredVideo
from workflows.contracts.stages import Stage, status_of
from workflows.contracts.terms import Terms
from workflows.contracts.texts import dollars, summary_of
from workflows.ends import Ended, cancelled_in_time, failure_of
from workflows.intake import raised
from workflows.messages import Steered

T = TypeVar("T")
Task = TypeVar("Task", bound=BaseModel)
Step = MethodAsyncSingleParam[Any, Task, T]


class Generation(Steered):
    """The steps of one generation, in the order in which an operation takes them."""

    async def reserve(self) -> Terms:
        """Quota check: inputs, price, hold. Its outcome is waited for even under a cancel."""
        if isinstance(self.request, Failure):
            raise Ended(self.request)
        self.enter(Stage.RESERVING)
        request = None if isinstance(self.request, Claimed) else self.request
        task = Reserve(generation_id=self.generation_id, request=request)
        again = self.parked is not None
        terms = await self.to_its_end(
            workflow.start_activity_method(
                Ledger.reserve,
                task,
                summary="the terms that are held" if again else "quota check: inputs, price, hold",
                **(timeouts.RESERVE_AGAIN if again else timeouts.RESERVE),
            )
        )
        self.terms = terms
        if again:
            # What people see, and who tells them, is the run's before this one.
            self.started_at = terms.reserved_at
            return terms
        await self.announce(terms)
        self.stop_if_cancelled()
        return terms

    async def announce(self, terms: Terms) -> None:
        """Say what is held: in the search attributes, to the callback_url."""
        self.money = f"{dollars(terms.quote.cost_usd_micros)} is reserved."
        workflow.upsert_search_attributes(
            [
                queues.USER.value_set(terms.user_hash),
                queues.OPERATION.value_set(terms.operation),
                queues.SOURCE.value_set(terms.source),
                queues.MODEL.value_set(terms.quote.model),
                queues.STATUS.value_set(status_of(Stage.RESERVING)),
            ]
        )
        if terms.callback:
            await self.tell_callbacks()

    async def build_prompt(self, how: str, *, local: bool = False) -> None:
        """Make the prompt, once; `how` says for the Web UI who makes it.

        `local`: nobody is asked for it, so it is a short step.
        """
        if self.parked is not None:
            return
        self.enter(Stage.PROMPTING)
        built = await self.tried_locally(Prompts.build_prompt, self.me, how) if local else None
        self.stop_if_cancelled()
        built = built or await workflow.execute_activity_method(
            Prompts.build_prompt, self.me, summary=how, **timeouts.BUILD_PROMPT
        )
        self.prompt_by, self.warnings = built.prompt_by, built.warnings

    async def stage_inputs(self) -> None:
        """Upload the inputs to the provider."""
        if self.parked is not None:
            return
        self.enter(Stage.STAGING)
        await workflow.execute_activity_method(
            Provider.stage_inputs,
            self.me,
            summary="upload the inputs to the provider",
            priority=self.share,
            **timeouts.STAGE_INPUTS,
        )

    async def download(self, terms: Terms, prediction_id: str) -> StoredVideo:
        """Copy and verify the output."""
        self.told = None
        self.enter(Stage.DOWNLOADING)
        self.downloading_since = self.downloading_since or workflow.now()
        return await self.to_its_end(
            workflow.start_activity_method(
                Media.download,
                Download(terms=terms, prediction_id=prediction_id),
                summary="download and verify the video",
                priority=self.share,
                **timeouts.DOWNLOAD,
            )
        )

    async def save(self, video: StoredVideo) -> str:
        """Record the asset; from here on nothing but completion is left."""
        self.enter(Stage.SAVING)
        saved = await self.short_step(
            Library.save,
            Save(generation_id=self.generation_id, video=video),
            f"asset: {video.facts.duration_s:.1f} s, {video.facts.width}x{video.facts.height}",
        )
        return saved.asset_id

    async def record_usage(
        self, terms: Terms, video: StoredVideo, asset_id: str
    ) -> GenerationResult:
        """Settle the reservation."""
        self.enter(Stage.SETTLING)
        settled = f"settle {dollars(terms.quote.cost_usd_micros)}"
        booked = await self.short_step(Ledger.record_usage, self.me, settled)
        self.money, self.cost_usd_micros, self.told = booked.money, booked.cost_usd_micros, None
        self.enter(Stage.COMPLETED)
        assert self.prediction_id is not None, "a video came of a prediction"
        return GenerationResult(
            generation_id=self.generation_id,
            asset_id=asset_id,
            prediction_id=self.prediction_id,
            model=terms.quote.model,
            duration_s=video.facts.duration_s,
            width=video.facts.width,
            height=video.facts.height,
            resolution=terms.quote.resolution,
            sha256=video.facts.sha256,
            file_size_bytes=video.facts.size_bytes,
            cost_usd_micros=booked.cost_usd_micros,
            prompt_by=self.prompt_by,
            warnings=(*self.warnings, *video.warnings),
        )

    async def close(self, ended: Ended) -> ApplicationError | CancelledError:
        """End without a video: the ledger first. Returns what `run` raises."""
        self.parked = None
        told = ended.failure
        if told.kind not in OF_ANOTHER and not isinstance(self.request, Failure):
            stage = Stage.CANCELLED if told.kind is FailureKind.CANCELLED else Stage.FAILED
            booked = await self.to_its_end(
                workflow.start_activity_method(
                    Ledger.close,
                    Close(
                        generation_id=self.generation_id,
                        stage=stage,
                        failure=told,
                        settle=ended.settle,
                        unless_submitted=ended.unless_submitted,
                    ),
                    summary=f"close: {told.kind.value}, {ended.settle}",
                    **timeouts.DATABASE,
                )
            )
            told = told.with_money(booked.money)
            self.money, self.cost_usd_micros = booked.money, booked.cost_usd_micros
            if booked.callback:
                await self.tell_callbacks()
        self.told = told
        self.enter(Stage.CANCELLED if told.kind is FailureKind.CANCELLED else Stage.FAILED)
        if told.kind is FailureKind.CANCELLED:
            return CancelledError(f"{told.message} {told.money}")
        return raised(told)

    @asynccontextmanager
    async def to_a_booked_end(self) -> AsyncGenerator[None]:
        """Run the steps of the block; whatever ends them early is booked before it is raised."""
        try:
            yield
        except (Ended, ActivityError, asyncio.CancelledError) as error:
            raise await self.close(self.ended_by(error)) from None

    async def tell_callbacks(self) -> None:
        """Start the workflow that tells the callback_url, once; it outlives this one.

        A cancel that comes meanwhile is not for it: it is the one that tells of the cancel.
        """
        if self.tells:
            return
        starting = workflow.start_child_workflow(
            "Callbacks",
            self.me,
            id=callbacks_id_for(self.generation_id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            static_summary="tells the callback_url of every stage",
        )
        # An earlier run under this id may have started it; it reads the same events.
        with suppress(WorkflowAlreadyStartedError):
            await self.to_its_end(asyncio.create_task(starting))
        self.tells = True

    # What the steps are made of

    @property
    def me(self) -> ForGeneration:
        """The input of activities that need the id only."""
        return ForGeneration(generation_id=self.generation_id)

    @property
    def share(self) -> Priority:
        """Whose turn counts on a busy queue, whoever started the workflow: users by their plans."""
        if self.terms is None:
            return Priority.default
        terms = self.terms
        return Priority(fairness_key=terms.user_hash, fairness_weight=terms.fairness_weight)

    async def to_its_end(self, activity: "asyncio.Task[T]") -> T:
        """The activity's outcome, even under a cancel, which the caller then looks at: `cancelled`.

        A run's cancel is delivered once, so the second wait is not disturbed.
        """
        try:
            return await asyncio.shield(activity)
        except asyncio.CancelledError:
            return await activity

    async def short_step(self, step: Step[Task, T], task: Task, summary: str) -> T:
        """A few statements in PostgreSQL, which every generation takes; to its outcome."""
        done = await self.tried_locally(step, task, summary)
        if done is not None:
            return done
        return await self.to_its_end(
            workflow.start_activity_method(step, task, summary=summary, **timeouts.DATABASE)
        )

    async def tried_locally(self, step: Step[Task, T], task: Task, summary: str) -> T | None:
        """The step's outcome without a queue's way there and back; None = it is the queue's.

        A fifth of what a generation costs Temporal is saved so. A repeat finds what was done.
        """
        if self.terms is None or not self.terms.local_steps:
            return None
        # A local activity's failure comes bare: in no ActivityError, as of SDK 1.35.
        with suppress(FailureError):
            return await self.to_its_end(
                workflow.start_local_activity_method(step, task, summary=summary, **timeouts.LOCAL)
            )
        return None

    async def rest(self, pause: timedelta, why: str) -> bool:
        """Wait for `pause`; True where a wake, a decision or a cancel ended the wait.

        A wake that came before, while an activity ran, counts: it was meant for the next look.
        """
        try:
            await workflow.wait_condition(
                lambda: self.woken or self.decision is not None,
                timeout=pause,
                timeout_summary=summary_of(why),
            )
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            return True
        finally:
            self.woken = False
        return True

    @property
    def cancelled(self) -> bool:
        """Whether a cancel was requested: it is delivered once, to whatever waits then."""
        return workflow.cancellation_reason() is not None

    def ended_by(self, error: BaseException) -> Ended:
        """How the generation ends when a step raised `error`."""
        if isinstance(error, Ended):
            return error
        if self.accepted_at is not None:
            # No step after the acceptance is known to refuse for good. Should one do so, the job is
            # paid for: the user is released, and the books show who paid.
            told = failure(FailureKind.INTERNAL, "A step after the provider took the job failed.")
            return Ended(told, settle="house")
        if is_cancelled_exception(error):
            return cancelled_in_time()
        assert isinstance(error, ActivityError), "steps end by outcome, refusal or cancel"
        staging = self.stage is Stage.STAGING
        otherwise = FailureKind.PROVIDER_UNREACHABLE if staging else FailureKind.INTERNAL
        return Ended(self.failure_of(error, otherwise))

    def stop_if_cancelled(self) -> None:
        """Raise Ended where a cancel came while a step ran to its outcome."""
        if self.cancelled:
            raise cancelled_in_time()

    def failure_of(self, error: ActivityError, otherwise: FailureKind) -> Failure:
        """The failure that an activity ended with; `otherwise` where it gave no kind."""
        return failure_of(error, otherwise, self.generation_id)

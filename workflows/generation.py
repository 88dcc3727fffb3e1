"""What every operation shares: the steps of a generation, its messages, its end without a video.

An operation's `run` calls the steps in order (see `image_to_video`). The paid submission has its
own loop in `submission`, the wait for the provider's job in `waiting`; both use the state that is
kept here.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

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
    Resolution,
    Save,
)
from workflows.contracts.failures import OF_ANOTHER, Failure, FailureKind, failure
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import Claimed, GenerationRequest
from workflows.contracts.results import GenerationResult, StoredVideo
from workflows.contracts.stages import Stage, status_of
from workflows.contracts.terms import Terms
from workflows.contracts.texts import dollars, summary_of
from workflows.ends import Ended, cancelled_in_time, failure_of, unstorable
from workflows.intake import OneInput, raised

T = TypeVar("T")


@dataclass
class Decision:
    """A person's decision on an unresolved submission, until it is answered."""

    resolution: Resolution
    answer: str | None = None
    """What came of it, in a sentence."""


class Generation(OneInput):
    """State, messages and steps of one generation."""

    def begin(self, request: GenerationRequest | Claimed | Failure) -> None:
        """Set the state up; called by each operation's `@workflow.init`."""
        now = workflow.now()
        self.generation_id = workflow.info().workflow_id
        self.request = unstorable(self.generation_id) or request
        self.terms: Terms | None = None
        self.stage = Stage.ACCEPTED
        self.since = now
        self.started_at = now
        self.prediction_id: str | None = None
        self.accepted_at: datetime | None = None
        self.downloading_since: datetime | None = None
        self.money = "Nothing is reserved yet."
        self.cost_usd_micros: int | None = None
        self.told: Failure | None = None
        self.woken = False
        """Whether a person or the provider asked us to look at once, and nobody has looked yet."""
        self.decision: Decision | None = None
        self.prompt_by: str | None = None
        self.warnings: tuple[str, ...] = ()
        self.tells = False
        """Whether the workflow that tells the callback_url was started."""

    # Messages

    @workflow.query(name="progress")
    def progress(self) -> ProgressFacts:
        """What is known now; percent and ETA are `contracts.progress.estimate`'s."""
        quote = self.terms.quote if self.terms else None
        return ProgressFacts(
            generation_id=self.generation_id,
            stage=self.stage,
            since=self.since,
            started_at=self.started_at,
            expected_s=quote.expected_s if quote else None,
            generating_since=self.accepted_at,
            downloading_since=self.downloading_since,
            prediction_id=self.prediction_id,
            quoted_usd_micros=quote.cost_usd_micros if quote else None,
            cost_usd_micros=self.cost_usd_micros,
            money=self.money,
            failure=self.told,
        )

    @workflow.signal(name="resume")
    def resume(self, *_: object) -> None:
        """Look at once. Takes anything: a signal's wrong arguments would wedge the workflow."""
        self.woken = True

    @workflow.signal(name="provider_event")
    def provider_event(self, *_: object) -> None:
        """The provider says that something happened; its state is read, not believed."""
        self.woken = True

    @workflow.update(name="resolve_submission")
    async def resolve_submission(self, resolution: Resolution) -> str:
        """Decide what an unresolved submission is: adopt a prediction, submit again, or give up."""
        decision = self.decision = Decision(resolution)
        await workflow.wait_condition(lambda: decision.answer is not None)
        return decision.answer or ""

    @resolve_submission.validator
    def _check_resolution(self, resolution: Resolution) -> None:
        # Null reaches a typed handler as None, whatever the annotation says.
        if not isinstance(resolution, Resolution):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ApplicationError("decision: adopt, resubmit or give_up is needed.")
        if self.decision is not None:
            raise ApplicationError("Another decision is being carried out.")
        if self.stage is not Stage.UNRESOLVED:
            raise ApplicationError(f"Nothing is to be resolved: the generation is {self.stage}.")

    # Steps

    async def reserve(self) -> Terms:
        """Quota check: inputs, price, hold. Its outcome is waited for even under a cancel."""
        if isinstance(self.request, Failure):
            raise Ended(self.request)
        self.enter(Stage.RESERVING)
        request = None if isinstance(self.request, Claimed) else self.request
        task = Reserve(generation_id=self.generation_id, request=request)
        terms = await self.to_its_end(
            workflow.start_activity_method(
                Ledger.reserve,
                task,
                summary="quota check: inputs, price, hold",
                **timeouts.RESERVE,
            )
        )
        self.terms = terms
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
        self.stop_if_cancelled()
        return terms

    async def build_prompt(self, how: str) -> None:
        """Make the prompt, once; `how` says for the Web UI who makes it."""
        self.enter(Stage.PROMPTING)
        built = await workflow.execute_activity_method(
            Prompts.build_prompt, self.me, summary=how, **timeouts.BUILD_PROMPT
        )
        self.prompt_by, self.warnings = built.prompt_by, built.warnings

    async def stage_inputs(self) -> None:
        """Upload the inputs to the provider."""
        self.enter(Stage.STAGING)
        await workflow.execute_activity_method(
            Provider.stage_inputs,
            self.me,
            summary="upload the inputs to the provider",
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
                **timeouts.DOWNLOAD,
            )
        )

    async def save(self, video: StoredVideo) -> str:
        """Record the asset; from here on nothing but completion is left."""
        self.enter(Stage.SAVING)
        saved = await self.to_its_end(
            workflow.start_activity_method(
                Library.save,
                Save(generation_id=self.generation_id, video=video),
                summary=f"asset: {video.facts.duration_s:.1f} s,"
                f" {video.facts.width}x{video.facts.height}",
                **timeouts.DATABASE,
            )
        )
        return saved.asset_id

    async def record_usage(
        self, terms: Terms, video: StoredVideo, asset_id: str
    ) -> GenerationResult:
        """Settle the reservation."""
        self.enter(Stage.SETTLING)
        booked = await self.to_its_end(
            workflow.start_activity_method(
                Ledger.record_usage,
                self.me,
                summary=f"settle {dollars(terms.quote.cost_usd_micros)}",
                **timeouts.DATABASE,
            )
        )
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

    def enter(self, stage: Stage) -> None:
        """Be at a stage from now on: for the query, the Web UI, lists where it ends or parks."""
        before, self.stage, self.since = self.stage, stage, workflow.now()
        workflow.set_current_details(self.details())
        if status_of(before) is not status_of(stage):
            workflow.upsert_search_attributes([queues.STATUS.value_set(status_of(stage))])

    def details(self) -> str:
        """The Web UI's current details, as Markdown."""
        rows = [("stage", f"**{self.stage}** since {self.since:%Y-%m-%d %H:%M:%S} UTC")]
        if self.terms:
            rows.append(("makes", self.terms.title))
        if self.prediction_id:
            rows.append(("prediction", f"`{self.prediction_id}`"))
        rows.append(("money", self.money))
        if self.told:
            rows += [("why", self.told.message), ("next", self.told.hint)]
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)])

    async def to_its_end(self, activity: "asyncio.Task[T]") -> T:
        """The activity's outcome, even under a cancel, which the caller then looks at: `cancelled`.

        A run's cancel is delivered once, so the second wait is not disturbed.
        """
        try:
            return await asyncio.shield(activity)
        except asyncio.CancelledError:
            return await activity

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

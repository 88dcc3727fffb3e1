"""What is known of a generation, what people are shown of it, and the messages that steer it.

Everything here is state: what it leads to is decided by the steps (`generation`, `submission`,
`waiting`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.contracts import queues
from workflows.contracts.activities import Resolution
from workflows.contracts.failures import Failure
from workflows.contracts.hints import hint_of
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import Claimed, Continued, GenerationRequest
from workflows.contracts.stages import Stage, status_of
from workflows.contracts.terms import Terms
from workflows.ends import unstorable
from workflows.intake import OneInput


@dataclass
class Decision:
    """A person's decision on an unresolved submission, until it is answered."""

    resolution: Resolution
    answer: str | None = None
    """What came of it, in a sentence."""


class Steered(OneInput):
    """State and messages of one generation."""

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
        self.hinted: str | None = None
        """The prediction that the provider's last webhook named."""
        self.decision: Decision | None = None
        self.prompt_by: Literal["caller", "rule", "llm"] | None = None
        self.warnings: tuple[str, ...] = ()
        self.tells = False
        """Whether the workflow that tells the callback_url was started."""
        self.parked = request.parked if isinstance(request, Continued) else None
        """How the run before this one was parked, until this one goes on from there."""
        self.taken_up = False
        """Whether it was taken up from there just now, and has neither looked nor waited yet."""
        if self.parked is not None:
            self.stage, self.told, self.tells = self.parked.stage, self.parked.why, True
            self.money = self.parked.why.money
            self.since, self.hinted = self.parked.since or now, self.parked.hinted
            self.prompt_by, self.warnings = self.parked.prompt_by, self.parked.warnings

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
    def provider_event(self, *told: object) -> None:
        """The provider says that something happened; its state is read, not believed.

        Takes anything, as `resume`; a prediction that it names is where a doubt looks first.
        """
        self.hinted = hint_of(told) or self.hinted
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

    # What people are shown

    def enter(self, stage: Stage) -> None:
        """Be at a stage from now on: for the query, the Web UI, lists where it ends or parks.

        A run that continues a parked one is shown as parked until it goes on.
        """
        if self.parked is not None:
            return
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

"""The activities' signatures: what `run` calls, without importing what they do.

Each stub has its explicit wire name `noun.verb`; the implementations in `activities/` subclass
these and repeat the decorator. Inputs are ids and small facts; texts and URLs stay in the database.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from temporalio import activity

from workflows.contracts.failures import Failure, FailureKind
from workflows.contracts.requests import AnyRequest
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


class Reserve(_Message):
    """Claim the generation id, check the inputs, hold the quota."""

    generation_id: str
    request: AnyRequest | None = None
    """None where it was claimed before and stands in the database."""


class ForGeneration(_Message):
    """An activity that needs no more than the id: the rest stands in the database."""

    generation_id: str


class PromptBuilt(_Message):
    """The prompt is stored, with who made it and what there is to say of it."""

    prompt_by: Literal["caller", "rule", "llm"] | None
    """None where no prompt is sent, since nothing was given to make one of."""
    warnings: tuple[str, ...] = ()


class Doubt(ForGeneration):
    """A submission whose outcome is in doubt."""

    hinted: str | None = None
    """A prediction that a webhook named: looked at first, believed only by its input."""


class InputsStaged(_Message):
    """The inputs are at the provider, their URLs in the submission's row."""

    inputs: int


class Submitted(_Message):
    """The provider took the job."""

    prediction_id: str
    accepted_at: datetime | None = None
    """When it did, where an earlier run knew before this one."""


class Verdict(StrEnum):
    """What is known of a submission whose outcome was in doubt."""

    ADOPTED = "adopted"  # a prediction of this generation was found
    ABSENT = "absent"  # proven: nothing of this generation is at the provider
    IN_FLIGHT = "in_flight"  # another process may still be sending
    UNPROVEN = "unproven"  # neither found nor proven absent, for now


class Reconciled(_Message):
    """The verdict, with its evidence in a sentence for the Web UI."""

    verdict: Verdict
    prediction_id: str | None = None
    evidence: str
    look_again_s: float | None = None
    """After so long another look tells more, however widely the looks are spaced by then."""
    accepted_at: datetime | None = None
    """When the provider took it, where the id had been received."""


class Resolution(_Message):
    """A person's decision on an unresolved submission."""

    decision: Literal["adopt", "resubmit", "give_up"]
    prediction_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{4,128}$")
    """Needed for `adopt`."""

    @model_validator(mode="after")
    def _adopt_names_one(self) -> "Resolution":
        if (self.decision == "adopt") != (self.prediction_id is not None):
            raise ValueError("adopt, and only adopt, names a prediction_id")
        return self


class Resolve(_Message):
    """The decision, for the activity that carries it out."""

    generation_id: str
    resolution: Resolution


class Watch(_Message):
    """Poll one prediction until it ends or the deadline passes."""

    terms: Terms
    prediction_id: str
    deadline_at: datetime
    accepted_at: datetime


class PredictionEnd(_Message):
    """How the provider's job stands."""

    state: Literal["running", "completed", "failed", "gone"]
    kind: FailureKind | None = None
    """Set for `failed`."""
    message: str = ""


class Withdrawn(_Message):
    """What came of asking the provider to drop a job: a finished one is kept."""

    state: Literal["completed", "failed", "deleted", "gone"]
    kind: FailureKind | None = None
    message: str = ""


class Download(_Message):
    """Copy and verify the output of a completed prediction."""

    terms: Terms
    prediction_id: str


class Save(_Message):
    """Record the asset."""

    generation_id: str
    video: StoredVideo


class Saved(_Message):
    """The asset's id."""

    asset_id: str


class Booked(_Message):
    """What the ledger did, and says of it."""

    cost_usd_micros: int
    money: str
    callback: bool = False
    """Whether the request has a `callback_url`, told at the end of one that never was reserved."""


class Park(_Message):
    """Record that the generation waits, and why."""

    generation_id: str
    stage: Stage
    failure: Failure


class Close(_Message):
    """End a generation that has no video."""

    generation_id: str
    stage: Literal[Stage.FAILED, Stage.CANCELLED]
    failure: Failure
    settle: Literal["release", "provisional", "house"] = "release"
    """`release`: the hold is given back. `provisional`: the user is booked the quote until the bill
    is read. `house`: the user is released, the house books the quote."""
    unless_submitted: bool = False
    """Release only where nothing was submitted: an earlier run, which was terminated, may have done
    so without this one's knowledge. Then it is booked as `provisional`."""


class Ledger:
    """Quota and money."""

    @activity.defn(name="ledger.reserve")
    async def reserve(self, task: Reserve) -> Terms:
        """Check the inputs against the catalogue, price them, hold one video and the cost."""
        raise NotImplementedError

    @activity.defn(name="ledger.record_usage")
    async def record_usage(self, task: ForGeneration) -> Booked:
        """Settle the reservation; once, however often it is called."""
        raise NotImplementedError

    @activity.defn(name="ledger.close")
    async def close(self, task: Close) -> Booked:
        """End the generation without a video, and say what happened to the money."""
        raise NotImplementedError

    @activity.defn(name="ledger.park")
    async def park(self, task: Park) -> Booked:
        """Record that the generation waits; the hold stays."""
        raise NotImplementedError


class Prompts:
    """The prompt."""

    @activity.defn(name="prompts.build_prompt")
    async def build_prompt(self, task: ForGeneration) -> PromptBuilt:
        """Make and store the prompt, once per generation."""
        raise NotImplementedError


class Provider:
    """The provider's job."""

    @activity.defn(name="provider.stage_inputs")
    async def stage_inputs(self, task: ForGeneration) -> InputsStaged:
        """Upload the inputs to the provider, under URLs that no other generation has."""
        raise NotImplementedError

    @activity.defn(name="provider.submit")
    async def submit(self, task: ForGeneration) -> Submitted:
        """The one paid POST."""
        raise NotImplementedError

    @activity.defn(name="provider.reconcile")
    async def reconcile(self, task: Doubt) -> Reconciled:
        """Find out what became of a submission whose outcome is in doubt."""
        raise NotImplementedError

    @activity.defn(name="provider.resolve")
    async def resolve(self, task: Resolve) -> Reconciled:
        """Carry out a person's decision on an unresolved submission."""
        raise NotImplementedError

    @activity.defn(name="provider.poll")
    async def poll(self, task: Watch) -> PredictionEnd:
        """Wait for the job's end or its deadline."""
        raise NotImplementedError

    @activity.defn(name="provider.check")
    async def check(self, task: Watch) -> PredictionEnd:
        """Look once."""
        raise NotImplementedError

    @activity.defn(name="provider.withdraw")
    async def withdraw(self, task: Watch) -> Withdrawn:
        """Ask the provider to drop the job, unless it is finished."""
        raise NotImplementedError


class Media:
    """The files."""

    @activity.defn(name="media.download")
    async def download(self, task: Download) -> StoredVideo:
        """Copy the output into the store and verify it to its last frame."""
        raise NotImplementedError


class Library:
    """The asset library."""

    @activity.defn(name="library.save")
    async def save(self, task: Save) -> Saved:
        """Record the asset: the commit point of the file."""
        raise NotImplementedError

"""What a `callback_url` is told, and the signatures of the activities that tell it.

`CallbackMessage` is what receivers parse: fields are added, never renamed or removed. It holds no
prompt and no URL. The other messages stand in histories.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from temporalio import activity

from workflows.contracts.activities import ForGeneration
from workflows.contracts.failures import Failure
from workflows.contracts.ids import generation_digest
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage, Status

WORKFLOW_TYPE = "Callbacks"
RETRY = "retry"
"""The signal that has the workflow look at once."""


def message_id_for(generation_id: str, seq: int) -> str:
    """The `webhook-id` of an event: the same however often it is sent, so receivers can tell."""
    return f"msg_{generation_digest(generation_id)}_{seq}"


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


class StageChange(_Message):
    """A generation entered a stage."""

    generation_id: str
    seq: int
    """Counts the events of one generation, from 1 without gaps."""
    stage: Stage
    status: Status
    at: datetime
    operation: Operation
    source: Source
    idempotency_key: str | None = None
    """The caller's own, where one was given."""
    quoted_usd_micros: int | None = None
    cost_usd_micros: int | None = None
    asset_id: str | None = None
    failure: Failure | None = None
    """Why it failed, was cancelled or waits."""


class CallbackMessage(_Message):
    """The body of one POST, in the form of Standard Webhooks. What is not known is left out."""

    type: Literal["generation.stage"] = "generation.stage"
    timestamp: datetime
    """When it happened; when it was sent stands in the `webhook-timestamp` header."""
    data: StageChange


class Delivery(_Message):
    """How far the receiver was told, and why no further."""

    state: Literal["done", "failed", "refused"]
    """`done`: the generation's end was told. `failed`: another try may go better. `refused`: the
    receiver has gone for good, or may not be called."""
    delivered_seq: int
    failures: int = 0
    """In a row, of the event that is next."""
    failing_since: datetime | None = None
    evidence: str = ""
    """What the receiver did, without its words."""


class GiveUp(_Message):
    """Tell the receiver no more."""

    generation_id: str
    reason: str


class GivenUp(_Message):
    """It is on record."""

    untold: int
    """Events that the receiver was not told."""


class CallbacksEnd(_Message):
    """How it ended."""

    state: Literal["delivered", "given_up"]
    delivered_seq: int
    untold: int = 0
    evidence: str = ""


class Callbacks:
    """Telling a generation's stages to its `callback_url`."""

    @activity.defn(name="callbacks.deliver")
    async def deliver(self, task: ForGeneration) -> Delivery:
        """Tell every event in order, and wait for more, until the end was told or one failed."""
        raise NotImplementedError

    @activity.defn(name="callbacks.give_up")
    async def give_up(self, task: GiveUp) -> GivenUp:
        """Record that the receiver is told no more, where people look."""
        raise NotImplementedError

"""The callbacks' Temporal face: tell what there is, wait for more, give up."""

from dataclasses import dataclass

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.beating import heartbeats, pause
from activities.boundary import boundary
from activities.callbacks.repository import Callbacks, NoCallback, Superseded
from activities.callbacks.telling import Teller
from activities.generations.notices import Notices
from workflows.contracts import callbacks as contract
from workflows.contracts.activities import ForGeneration
from workflows.contracts.callbacks import Delivery, GivenUp, GiveUp
from workflows.contracts.failures import FailureKind, RequestRefused

REREAD_S = 300.0
"""Events are looked for this often though no notice came. A lost connection wakes everybody when it
is made again, so this is for what nobody foresaw; a thousand waits cost ten queries a second."""


@dataclass
class CallbackActivities(contract.Callbacks):
    """What telling the receivers needs."""

    callbacks: Callbacks
    notices: Notices
    teller: Teller
    reread_s: float = REREAD_S

    @activity.defn(name="callbacks.deliver")
    @boundary
    async def deliver(self, task: ForGeneration) -> Delivery:
        """Tell every event in order and wait for more, until the end was told or one failed.

        A worker that dies between a receiver's answer and its record has the event told twice,
        under the same `webhook-id`.
        """
        generation_id = task.generation_id
        try:
            await self.callbacks.open(generation_id)
        except NoCallback as error:
            raise RequestRefused(FailureKind.INVALID_REQUEST, f"generation_id: {error}.") from None
        async with heartbeats():
            return await self._tell_all(generation_id)

    async def _tell_all(self, generation_id: str) -> Delivery:
        with self.notices.of(generation_id) as news:
            while True:
                news.clear()
                try:
                    told = await self._tell(generation_id)
                except Superseded as error:
                    raise ApplicationError(
                        str(error), type="Superseded", category=ApplicationErrorCategory.BENIGN
                    ) from None
                if told is not None:
                    return told
                await pause(self.reread_s, wake=news)

    async def _tell(self, generation_id: str) -> Delivery | None:
        """Tell what there is; None where all was told and more is to come."""
        receiver, events = await self.callbacks.due(generation_id)
        if receiver.url is None:
            gone = "it was asked for again without a callback_url"
            return await self.callbacks.fail(generation_id, receiver.delivered_seq, "refused", gone)
        for event in events:
            answer = await self.teller.tell(receiver.url, receiver.message(event))
            if answer.state != "taken":
                activity.logger.warning("event %d was not told: %s", event.seq, answer.evidence)
                return await self.callbacks.fail(
                    generation_id, event.seq - 1, answer.state, answer.evidence
                )
            await self.callbacks.advance(generation_id, event.seq)
        return await self.callbacks.finish(generation_id)

    @activity.defn(name="callbacks.give_up")
    @boundary
    async def give_up(self, task: GiveUp) -> GivenUp:
        """Record that the receiver is told no more: `callbacks list` and `doctor` say so."""
        untold = await self.callbacks.give_up(task.generation_id, task.reason)
        activity.logger.error("a receiver is given up with %d events untold", untold)
        return GivenUp(untold=untold)

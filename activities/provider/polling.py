"""Waiting for a prediction: the interval, and how the provider's words become ours."""

import random
from collections.abc import Callable

from activities.provider.errors import NotFound, PromptRejected
from activities.provider.models import Prediction, Status
from activities.provider.settings import POLL_INTERVAL_S, POLL_INTERVAL_S_MAX
from activities.provider.wavespeed import WaveSpeed
from workflows.contracts.activities import PredictionEnd
from workflows.contracts.failures import FailureKind

_GROWS_OVER_S = 300.0
"""At five minutes the interval has its full length: later, seconds matter less than requests."""

_MODERATION = range(1200, 1300)


def interval_s(
    age_s: float, jitter: float | None = None, *, shortest_s: float = POLL_INTERVAL_S
) -> float:
    """Seconds until the next look at a job of this age: from `shortest_s` to 15, ±20 %.

    A `shortest_s` above 15 is kept at every age. `jitter` from 0 to 1 replaces the random one.
    """
    share = min(1.0, max(0.0, age_s) / _GROWS_OVER_S)
    interval = shortest_s + max(0.0, POLL_INTERVAL_S_MAX - shortest_s) * share
    shift = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, guards nothing
    return interval * (0.8 + 0.4 * shift)


def _untold(_prediction: Prediction) -> None:
    """Nobody counts."""


async def look(
    client: WaveSpeed, prediction_id: str, *, tell: Callable[[Prediction], None] = _untold
) -> PredictionEnd:
    """How the job stands now; `tell` hears of one that is completed.

    Raises:
        ProviderError: the provider could not be asked. A missing prediction is `gone`, no error.
    """
    try:
        found = await client.prediction(prediction_id)
    except NotFound:
        return PredictionEnd(
            state="gone",
            kind=FailureKind.PROVIDER_LOST,
            message="The provider does not know the prediction.",
        )
    if found.status is Status.COMPLETED:
        tell(found)
    return end_of(found)


def end_of(prediction: Prediction) -> PredictionEnd:
    """The provider's status in our words; its own text is never shown."""
    match prediction.status:
        case Status.RUNNING:
            return PredictionEnd(state="running")
        case Status.COMPLETED:
            return PredictionEnd(state="completed")
        case _ if prediction.error_code in _MODERATION:
            return PredictionEnd(
                state="failed", kind=FailureKind.PROMPT_REJECTED, message=PromptRejected.sentence
            )
        case _:
            code = f" (code {prediction.error_code})" if prediction.error_code else ""
            return PredictionEnd(
                state="failed",
                kind=FailureKind.PROVIDER_FAILED,
                message=f"The provider's job ended as {prediction.status}{code}.",
            )

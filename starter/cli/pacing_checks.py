"""`doctor`'s line on the pace of submissions: what is set, what to set, how things stand."""

from typing import TYPE_CHECKING, NamedTuple

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue as TaskQueueMessage
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from activities.provider.identity import provider_name
from activities.provider.pacing import Standing, standing
from activities.provider.settings import PacingSettings
from workflows.contracts.queues import TaskQueue

if TYPE_CHECKING:
    from temporalio.client import Client

    from activities.database.pool import Pool

NO_RATE_PER_S = 100_000
"""What the server says of a worker that set none."""


class Level(NamedTuple):
    """What an account of the provider may do."""

    name: str
    starts_per_minute: int
    jobs_at_once: int


LEVELS = (
    Level("Bronze", 2, 2),
    Level("Silver", 60, 100),
    Level("Gold", 600, 2_000),
    Level("Ultra", 5_000, 5_000),
)
"""Videos a minute and jobs at once by level (docs: account-levels). Its two copies disagree: these
are the lower numbers of both."""


async def pacing(provider_url: str, pool: "Pool | None", temporal: "Client | None") -> str:
    """What is set, as this environment and the polling workers say it, and how the account stands.

    Nothing here is broken: without limits the provider's 429 sets the pace.
    """
    settings = PacingSettings()
    parts = [_set(settings)]
    if temporal is not None:
        parts += _differing(settings.starts_per_minute, await polled_rates_per_s(temporal))
    if pool is not None:
        parts.append(_standing(await standing(pool, provider_url)))
    if provider_name(provider_url) != "sandbox" and _is_open(settings):
        return f"warning: {'; '.join(parts)}. {recommended()}"
    return "; ".join(parts)


def _is_open(settings: PacingSettings) -> bool:
    return settings.starts_per_minute is None or settings.jobs_in_flight_max is None


def _set(settings: PacingSettings) -> str:
    starts, jobs = settings.starts_per_minute, settings.jobs_in_flight_max
    started = "starts are not limited" if starts is None else f"{starts:,} starts a minute"
    at_once = "nor jobs at once" if starts is None else "jobs at once are not limited"
    return f"{started}, {at_once if jobs is None else f'{jobs:,} jobs at once'}"


def _differing(wanted: int | None, rates_per_s: set[float]) -> list[str]:
    """Where workers poll at another rate: the server goes by whoever polled last."""
    here = NO_RATE_PER_S if wanted is None else wanted / 60
    others = sorted(rate for rate in rates_per_s if abs(rate - here) > here / 1000)
    if not others:
        return []
    told = (
        "no limit" if rate >= NO_RATE_PER_S else f"{rate * 60:,.4g} a minute" for rate in others
    )
    return [f"workers poll with {', '.join(told)}: set STILLMOTION_STARTS_PER_MINUTE alike for all"]


def _standing(account: Standing) -> str:
    places = "1 place is taken" if account.taken == 1 else f"{account.taken} places are taken"
    if account.not_before is None:
        return places
    return f"{places}; the provider asked for a pause until {account.not_before:%H:%M:%S} UTC"


def recommended() -> str:
    """What to set, by the account's level."""
    levels = ", ".join(
        f"{level.name} {level.starts_per_minute:,} and {level.jobs_at_once:,}" for level in LEVELS
    )
    return (
        "Set STILLMOTION_STARTS_PER_MINUTE and STILLMOTION_JOBS_IN_FLIGHT_MAX for all workers,"
        f" by the account's level: {levels}"
    )


async def polled_rates_per_s(temporal: "Client") -> set[float]:
    """The rates that the submit queue's workers ask the server for."""
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace,
        task_queue=TaskQueueMessage(name=TaskQueue.SUBMIT.value),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    described = await temporal.workflow_service.describe_task_queue(request)
    return {poller.rate_per_second for poller in described.pollers}

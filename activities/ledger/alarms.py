"""The alarm of the house account: every amount in it is a price, a refund or a job gone wrong."""

import structlog
from temporalio import activity

HOUSE_COUNTER = "stillmotion_house_usd_micros"

log = structlog.get_logger()


def house_booked(generation_id: str, usd_micros: int) -> None:
    """Tell what the house was booked, or got back where negative. Only after the commit.

    The counter counts what was booked: a counter can't go down.
    """
    if usd_micros > 0:
        log.warning("the house pays", generation_id=generation_id, usd_micros=usd_micros)
        if activity.in_activity():
            counter = activity.metric_meter().create_counter(
                HOUSE_COUNTER, "What no user was booked for"
            )
            counter.add(usd_micros)
    elif usd_micros < 0:
        log.info("the house gets back", generation_id=generation_id, usd_micros=-usd_micros)

"""The money, to the micro-dollar: what must follow from the ledger and from the provider's bills.

The rules are written down here once more, from the design and not from the code that keeps them.
"""

from collections.abc import Callable, Iterator

from tests.chaos.breaches import Breach, Promise
from tests.chaos.evidence import Evidence, Row
from workflows.contracts.stages import PARKED, Stage

WITHOUT_VIDEO = frozenset({Stage.FAILED, Stage.CANCELLED})


def _ended_twice(evidence: Evidence) -> Iterator[Breach]:
    for generation_id, hold in evidence.holds.items():
        ended = hold["state"] != "reserved"
        is_tombstone = hold["reserves"] == 0
        if is_tombstone and hold["ends"] == 0 and hold["state"] == "released":
            continue
        wrong_end = hold["ends"] != ended or hold["house_ends"] > 1
        if hold["reserves"] != 1 or wrong_end:
            detail = (
                f"{hold['reserves']} holds, {hold['ends']} ends"
                f" and {hold['house_ends']} of the house, and it is {hold['state']}"
            )
            yield Breach(Promise.ONE_SETTLEMENT, generation_id, detail)
        if ended and hold["left_reserved"] != 0:
            detail = f"{hold['left_reserved']} micro-USD of it are reserved still"
            yield Breach(Promise.ONE_SETTLEMENT, generation_id, detail)


def _open_holds(evidence: Evidence) -> Iterator[Breach]:
    for generation_id, hold in evidence.holds.items():
        stage = evidence.stage(generation_id) if generation_id in evidence.generations else None
        if hold["state"] == "reserved" and stage not in PARKED:
            yield Breach(Promise.NO_OPEN_HOLD, generation_id, f"it is {stage}")
        if hold["state"] == "released" and stage is not None and stage not in WITHOUT_VIDEO:
            yield Breach(Promise.NO_OPEN_HOLD, generation_id, f"released, and it is {stage}")


def _unbalanced(evidence: Evidence) -> Iterator[Breach]:
    sums = {
        "videos_reserved": "videos_reserved_sum",
        "videos_settled": "videos_settled_sum",
        "reserved_usd_micros": "reserved_sum",
        "settled_usd_micros": "settled_sum",
    }
    for balance in evidence.balances:
        yield from _differences(f"the balance of {balance['user_id']}", balance, sums)
    for span in evidence.spending:
        both = {name: sums[name] for name in ("reserved_usd_micros", "settled_usd_micros")}
        yield from _differences(f"the {span['span']} of {span['starts_on']}", span, both)


def _differences(subject: str, row: Row, sums: dict[str, str]) -> Iterator[Breach]:
    for name, total in sums.items():
        if row[name] != row[total]:
            detail = f"{name} is {row[name]}, the ledger's sum {row[total]}"
            yield Breach(Promise.BALANCED, subject, detail)


def _over_limits(evidence: Evidence) -> Iterator[Breach]:
    for row in evidence.balances:
        videos = row["videos_reserved"] + row["videos_settled"]
        cost = row["reserved_usd_micros"] + row["settled_usd_micros"]
        limits = {"videos": (videos, row["videos_limit"])}
        limits["micro-USD"] = (cost, row["cost_limit_usd_micros"])
        for what, (taken, limit) in limits.items():
            if limit is not None and taken > limit:
                yield Breach(Promise.WITHIN_LIMITS, row["user_id"], f"{taken} {what} of {limit}")


def _billed_otherwise(evidence: Evidence) -> Iterator[Breach]:
    """Who has a video, or was cancelled, owes min(bill, quote); the house owes the rest of all."""
    for generation_id, hold in evidence.holds.items():
        if hold["state"] == "reserved":
            continue
        due_of_user, due_of_house = owed(evidence, generation_id)
        if (hold["of_user"], hold["of_house"]) != (due_of_user, due_of_house):
            detail = (
                f"the user was booked {hold['of_user']} and the house {hold['of_house']},"
                f" by the bill it is {due_of_user} and {due_of_house} micro-USD"
            )
            yield Breach(Promise.BILLED, generation_id, detail)
        if evidence.is_swept and evidence.predictions_of(generation_id) and not hold["is_billed"]:
            yield Breach(Promise.BILLED, generation_id, "its bill was never read")


def owed(evidence: Evidence, generation_id: str) -> tuple[int, int]:
    """What user and house must be booked for a hold that has ended, in micro-USD."""
    hold = evidence.holds[generation_id]
    quote = hold["quoted_usd_micros"]
    has_video = hold["state"] == "settled"
    jobs = evidence.predictions_of(generation_id)
    charged = sum(evidence.charged.get(job.id, 0) for job in jobs)
    net = sum(evidence.billed.get(job.id, 0) for job in jobs)
    is_believable = quote <= 5 * charged and charged <= 2 * quote
    if not hold["is_billed"] or not is_believable:
        return (quote, 0) if has_video else (0, hold["of_house"])
    of_user = min(net, quote) if has_video else 0
    return of_user, net - of_user


booked_wrongly: tuple[Callable[[Evidence], Iterator[Breach]], ...] = (
    _ended_twice,
    _open_holds,
    _unbalanced,
    _over_limits,
    _billed_otherwise,
)
"""The checks of the money."""

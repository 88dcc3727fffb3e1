"""What a run says at its end: a table of what it did and left, and every breach by its id."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.breaches import Breach
from tests.chaos.checks import is_parked_for_good
from tests.chaos.evidence import Evidence
from tests.chaos.storm import Outcome
from workflows.contracts.stages import Stage
from workflows.contracts.texts import dollars


def table(evidence: Evidence, outcome: Outcome | None) -> list[str]:
    """The summary, a line each."""
    stages = Counter(evidence.stage(each) for each in evidence.generations)
    parked = sum(is_parked_for_good(evidence, each) for each in evidence.generations)
    jobs = Counter(job.status for job in evidence.predictions.values())
    of_users = sum(hold["of_user"] for hold in evidence.holds.values())
    of_house = sum(hold["of_house"] for hold in evidence.holds.values())
    billed = sum(evidence.billed.values())
    held = [hold for hold in evidence.holds.values() if hold["state"] == "reserved"]
    rows = [
        ("generations", f"{len(evidence.generations)}: {_counts(stages)}"),
        ("failed by", _counts(_kinds(evidence)) or "nothing"),
        ("parked for good", f"{parked}: the provider's file is none"),
        ("unresolved", f"{stages[Stage.UNRESOLVED]}"),
        ("predictions", f"{len(evidence.predictions)}: {_counts(jobs)}"),
        ("booked", f"{dollars(of_users)} by users, {dollars(of_house)} by the house"),
        ("billed", f"{dollars(billed)} net by the provider"),
        ("held", f"{len(held)}, {dollars(sum(hold['quoted_usd_micros'] for hold in held))}"),
        ("files", f"{len(evidence.files)}, and {evidence.half_written} half written by the killed"),
        ("promised ids", f"{len({made for _, made in evidence.promises})} by clients"),
    ]
    if outcome is not None:
        faults = (line.partition(": ") for line in outcome.struck)
        rows += [(f"faults of {area}", struck) for area, _, struck in faults]
        rows += [
            ("acts", f"{len(outcome.played)}"),
            ("deaths nobody asked for", _counts(Counter(outcome.deaths)) or "none"),
            ("sweeper", outcome.swept),
            ("took", f"{outcome.storm_s:.0f} s of storm, {outcome.quiet_s:.0f} s until quiet"),
        ]
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {told}" for name, told in rows]


def verdict(breaches: Sequence[Breach]) -> list[str]:
    """The last lines: each breach, or that there is none."""
    if not breaches:
        return ["No promise was broken."]
    return [*(f"BREACH  {breach}" for breach in breaches), f"{len(breaches)} breaches."]


def _kinds(evidence: Evidence) -> Counter[str]:
    ends = (row for row in evidence.generations.values() if row["stage"] == Stage.FAILED)
    return Counter(str(row["failed_by"]) for row in ends)


def _counts(counts: Counter[Stage] | Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))

"""What has to hold when all is quiet, each check by itself; money stands in `books`."""

from collections.abc import Iterator

from tests.chaos.books import booked_wrongly
from tests.chaos.breaches import Breach, Promise
from tests.chaos.evidence import Evidence
from tests.chaos.weather import FAILING, UNPLAYABLE
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage

OF_THE_JOB = frozenset({FailureKind.PROVIDER_FAILED, FailureKind.PROMPT_REJECTED})


def breaches_of(evidence: Evidence) -> list[Breach]:
    """Every promise that was not kept."""
    checks = (_not_ended, _failed_by_us, _paid_twice, _strangers, _videos, _orphans, _lost_promises)
    return [breach for check in (*checks, *booked_wrongly) for breach in check(evidence)]


def is_parked_for_good(evidence: Evidence, generation_id: str) -> bool:
    """Whether it waits for a file that the provider will never give: parked, its hold open."""
    jobs = evidence.predictions_of(generation_id)
    unplayable = any(UNPLAYABLE.intersection(job.faults) for job in jobs)
    return evidence.stage(generation_id) is Stage.TIMED_OUT and unplayable


def is_unresolved(evidence: Evidence, generation_id: str) -> bool:
    """Whether it waits for a person, with the evidence that the person needs."""
    row = evidence.generations[generation_id]
    told = row["failure"] is not None and row["attempts"] > 0
    return evidence.stage(generation_id) is Stage.UNRESOLVED and told


def _not_ended(evidence: Evidence) -> Iterator[Breach]:
    for generation_id in set(evidence.generations) - evidence.ended:
        parked = is_parked_for_good(evidence, generation_id)
        if not parked and not is_unresolved(evidence, generation_id):
            row = evidence.generations[generation_id]
            detail = f"it is {row['stage']}, its submission {row['submission']}: {row['failure']}"
            yield Breach(Promise.ENDED, generation_id, detail)


def _failed_by_us(evidence: Evidence) -> Iterator[Breach]:
    """A kill or a fault that passes is no reason to fail."""
    for generation_id, row in evidence.generations.items():
        if evidence.stage(generation_id) is not Stage.FAILED:
            continue
        kind = row["failed_by"]
        jobs = evidence.predictions_of(generation_id)
        failed_there = any(FAILING.intersection(job.faults) for job in jobs)
        if not (kind == FailureKind.QUOTA_EXCEEDED or (kind in OF_THE_JOB and failed_there)):
            detail = f"it failed by {kind}, its submission {row['submission']}: {row['failure']}"
            yield Breach(Promise.EXPLAINED, generation_id, detail)


def _paid_twice(evidence: Evidence) -> Iterator[Breach]:
    for generation_id in evidence.generations:
        jobs = evidence.predictions_of(generation_id)
        if len(jobs) > 1:
            detail = f"{len(jobs)} predictions: {', '.join(job.id for job in jobs)}"
            yield Breach(Promise.ONE_PREDICTION, generation_id, detail)


def _strangers(evidence: Evidence) -> Iterator[Breach]:
    for job in evidence.predictions.values():
        if job.generation_id is None:
            yield Breach(Promise.KNOWN_PREDICTION, job.id, "it is of no generation")
            continue
        row = evidence.generations[job.generation_id]
        in_doubt = Stage(row["stage"]) is Stage.UNRESOLVED
        if row["accepted_id"] != job.id and not in_doubt:
            detail = f"{job.generation_id} knows {row['accepted_id']} instead"
            yield Breach(Promise.KNOWN_PREDICTION, job.id, detail)


def _videos(evidence: Evidence) -> Iterator[Breach]:
    for generation_id in evidence.generations:
        assets = evidence.assets.get(generation_id, [])
        wanted = 1 if evidence.stage(generation_id) is Stage.COMPLETED else 0
        if len(assets) != wanted:
            detail = f"{len(assets)} assets at stage {evidence.stage(generation_id)}"
            yield Breach(Promise.ONE_VIDEO, generation_id, detail)
        for asset in assets:
            stored = evidence.files.get(asset["key"])
            if stored != asset["sha256"]:
                detail = f"the file {asset['key']} has the hash {stored}, not {asset['sha256']}"
                yield Breach(Promise.ONE_VIDEO, generation_id, detail)


def _orphans(evidence: Evidence) -> Iterator[Breach]:
    """A file that belongs to no asset; one that is on its way belongs to a generation that isn't
    at its end."""
    kept = {
        key
        for assets in evidence.assets.values()
        for asset in assets
        for key in (asset["key"], asset["poster_key"], *asset["extra_keys"])
    }
    for key in set(evidence.files) - kept:
        yield Breach(Promise.NO_ORPHAN, key, "no asset names it")


def _lost_promises(evidence: Evidence) -> Iterator[Breach]:
    known = set(evidence.generations) | set(evidence.batches)
    named: dict[str, str] = {}
    for key, made in evidence.promises:
        if made not in known:
            yield Breach(Promise.KEPT_IDS, made, f"printed for {key}, and unknown")
        if named.setdefault(key, made) != made:
            yield Breach(Promise.KEPT_IDS, made, f"{key} was {named[key]} before")

"""What a seed fixes, and what the checks see: without any process."""

from collections import Counter

from tests.chaos.acts import Act, deal
from tests.chaos.breaches import Promise
from tests.chaos.checks import breaches_of
from tests.chaos.evidence import Evidence, Prediction
from tests.chaos.orders import errands_of
from tests.chaos.weather import AREAS, SHARE, storm
from workers.sandbox.faultboard import FaultBoard, FaultPlan
from workers.sandbox.faults import Fault

GENERATION = "gen_one"


def an_evidence(**given: object) -> Evidence:
    """A generation that completed as it should."""
    generation = {
        "generation_id": GENERATION,
        "stage": "completed",
        "failure": None,
        "failed_by": None,
        "submission": "accepted",
        "accepted_id": "p1",
        "attempts": 2,
    }
    hold = {"state": "settled", "quoted_usd_micros": 250_000, "reserves": 1, "ends": 1}
    hold |= {"house_ends": 0, "left_reserved": 0, "of_user": 250_000, "of_house": 0}
    asset = {"key": "outputs/a/b/c.mp4", "poster_key": None, "extra_keys": [], "sha256": "c"}
    fields: dict[str, object] = {
        "generations": {GENERATION: generation},
        "holds": {GENERATION: hold | {"is_billed": True}},
        "balances": [],
        "spending": [],
        "assets": {GENERATION: [asset]},
        "batches": {},
        "predictions": {"p1": Prediction("p1", "completed", (), GENERATION)},
        "billed": {"p1": 250_000},
        "charged": {"p1": 250_000},
        "files": {"outputs/a/b/c.mp4": "c"},
        "half_written": 0,
        "promises": [("key", GENERATION)],
    }
    return Evidence(**{**fields, **given})  # pyright: ignore[reportArgumentType]


def promises_broken(evidence: Evidence) -> set[Promise]:
    return {breach.promise for breach in breaches_of(evidence)}


def test_a_seed_fixes_orders_acts_and_faults() -> None:
    again = [errands_of(7, 50, 1), deal(7, list(Act), 3), storm(7)]

    assert [errands_of(7, 50, 1), deal(7, list(Act), 3), storm(7)] == again
    assert [errands_of(8, 50, 1), deal(8, list(Act), 3), storm(8)] != again


def test_the_errands_of_all_clients_are_as_many_generations_as_were_asked_for() -> None:
    orders = [each for errands in errands_of(1, 103, 1) for one in errands for each in one.orders]

    assert len({order.key for order in orders}) == len(orders) == 103


def test_every_act_is_played_once_a_round() -> None:
    marks = deal(3, list(Act), rounds=2)

    assert sorted(mark.act for mark in marks) == sorted([*Act, *Act])
    assert [mark.progress for mark in marks] == sorted(mark.progress for mark in marks)


def test_every_fault_of_a_submission_strikes_one_in_ten() -> None:
    board = FaultBoard(None, lambda _: None)
    board.put(FaultPlan.model_validate(storm(11)))

    struck = Counter(board.take("submit", Fault) for _ in range(4000))

    faults = [fault for fault in struck if fault is not None]
    assert len(faults) == len(AREAS["submit"])
    assert all(abs(struck[fault] / 4000 - SHARE) < 0.02 for fault in faults)


def test_a_generation_that_went_well_breaks_nothing() -> None:
    assert breaches_of(an_evidence()) == []


def test_each_promise_is_seen_broken() -> None:
    good = an_evidence()
    generation, hold = good.generations[GENERATION], good.holds[GENERATION]
    twice = {name: Prediction(name, "completed", (), GENERATION) for name in ("p1", "p2")}
    balance = {"user_id": "ann", "videos_limit": 1, "cost_limit_usd_micros": None}
    sums = ("videos_reserved", "videos_settled", "reserved_usd_micros", "settled_usd_micros")
    names = ("videos_reserved_sum", "videos_settled_sum", "reserved_sum", "settled_sum")
    level = balance | dict.fromkeys((*sums, *names), 2)

    broken = {
        Promise.ENDED: an_evidence(generations={GENERATION: {**generation, "stage": "settling"}}),
        Promise.EXPLAINED: an_evidence(
            generations={GENERATION: {**generation, "stage": "failed", "failed_by": "internal"}}
        ),
        Promise.ONE_PREDICTION: an_evidence(predictions=twice),
        Promise.KNOWN_PREDICTION: an_evidence(
            predictions={"p9": Prediction("p9", "completed", (), None)}
        ),
        Promise.ONE_VIDEO: an_evidence(files={}),
        Promise.NO_ORPHAN: an_evidence(files={**good.files, "outputs/x/y/z.mp4": "z"}),
        Promise.ONE_SETTLEMENT: an_evidence(holds={GENERATION: {**hold, "ends": 2}}),
        Promise.NO_OPEN_HOLD: an_evidence(
            holds={GENERATION: {**hold, "state": "reserved", "ends": 0}}
        ),
        Promise.BALANCED: an_evidence(balances=[level | {"settled_sum": 3}]),
        Promise.WITHIN_LIMITS: an_evidence(balances=[level]),
        Promise.BILLED: an_evidence(holds={GENERATION: {**hold, "of_user": 249_999}}),
        Promise.KEPT_IDS: an_evidence(promises=[("key", "gen_unknown")]),
    }

    assert set(broken) == set(Promise)
    for promise, evidence in broken.items():
        assert promise in promises_broken(evidence), promise

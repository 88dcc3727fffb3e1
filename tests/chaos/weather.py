"""The provider's faults in a storm: what each area does wrong, and how often."""

from collections.abc import Sequence
from typing import Any

from workers.sandbox.faultboard import FaultPlan

SHARE = 0.12
"""Of all requests or jobs that each kind of fault strikes: never below one in ten."""

TINY: list[dict[str, Any]] = [
    {"kind": "other_size", "width": 64, "height": 36},
    {"kind": "other_duration", "duration_s": 0.5},
]
"""Outputs that are made and decoded at once."""

CALM: dict[str, Any] = {"output": TINY}
"""No faults."""

SUBMIT: list[dict[str, Any]] = [
    {"kind": "lost_reply"},
    {"kind": "status", "code": 502, "accepted": True},
    {"kind": "malformed", "accepted": True},
    {"kind": "no_id"},
    {"kind": "cut"},
    {"kind": "status", "code": 429, "retry_after": 2},
    {"kind": "slow", "delay_s": 2},
]
AREAS: dict[str, list[dict[str, Any]]] = {
    "submit": SUBMIT,
    "poll": [{"kind": "status", "code": 503}, {"kind": "unknown_status"}],
    "list": [{"kind": "lag", "lag_s": 3}, {"kind": "without_input"}],
    "upload": [{"kind": "status", "code": 503}],
    "download": [{"kind": "status", "code": 503}],
    "delete": [{"kind": "status", "code": 503}],
    "bills": [{"kind": "lag", "lag_s": 3}, {"kind": "usd_floats"}],
    "chat": [{"kind": "status", "code": 500}, {"kind": "nonsense"}],
    "job": [{"kind": "failed"}, {"kind": "moderated"}, {"kind": "no_outputs"}],
    "output": [{"kind": "cut_connection", "downloads": 1}, {"kind": "html"}, {"kind": "expired"}],
}

FAILING = frozenset({"failed", "moderated"})
"""Faults of a job by which it ends without a video; the provider refunds it."""

UNPLAYABLE = frozenset({"html", "no_outputs"})
"""Faults of a job that never pass: its file is not to be had, today or tomorrow."""


def storm(seed: int) -> dict[str, Any]:
    """A plan of all faults; the same seed hits the same requests, counted by area and fault."""
    plan = {
        area: [
            {**fault, "probability": _share(place, area), "seed": seed + place}
            for place, fault in enumerate(faults)
        ]
        for area, faults in AREAS.items()
    }
    plan["output"] += TINY
    FaultPlan.model_validate(plan)
    return plan


def _share(place: int, area: str) -> float:
    """A fault of a reply is asked only where those before it have missed; of a job, always."""
    return SHARE if area in {"job", "output"} else SHARE / (1 - SHARE * place)


def told(board: dict[str, list[dict[str, Any]]]) -> Sequence[str]:
    """What struck, a line per area, from the sandbox's board."""
    return [
        f"{area}: " + ", ".join(_struck(fault) for fault in faults if fault["probability"] < 1)
        for area, faults in board.items()
        if any(fault["probability"] < 1 for fault in faults)
    ]


def _struck(fault: dict[str, Any]) -> str:
    named = fault["kind"] if fault["kind"] != "status" else str(fault["code"])
    return f"{named} {fault['used']}"

"""The faults in force: taken by matching requests and jobs, counted, kept across restarts."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from workers.sandbox.faults import (
    AnyReply,
    CreditExhaustedFault,
    DeduplicatedFault,
    Fault,
    JobFault,
    KeptFault,
    LagFault,
    LostReplyFault,
    NoIdFault,
    NonsenseFault,
    OutputFault,
    RefusalFault,
    RefusedFault,
    UnknownStatusFault,
    UsdFloatsFault,
    WebhookFault,
    WithoutInputFault,
    WrongAmountFault,
)

Area = Literal[
    "any",
    "submit",
    "poll",
    "list",
    "upload",
    "delete",
    "bills",
    "download",
    "chat",
    "job",
    "output",
    "webhook",
]
AREAS: tuple[Area, ...] = get_args(Area)
AREAS_BY_NAME: dict[str, Area] = {area: area for area in AREAS}
KEPT_AREAS: tuple[Area, ...] = ("job", "output", "webhook")

_F = TypeVar("_F", bound=Fault)


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


_OneOrMore = BeforeValidator(_as_list)
_KIND = Field(discriminator="kind")
_Any = Annotated[list[Annotated[AnyReply | RefusedFault, _KIND]], _OneOrMore]
_Plain = Annotated[list[Annotated[AnyReply, _KIND]], _OneOrMore]
_Submit = Annotated[
    list[Annotated[AnyReply | LostReplyFault | NoIdFault | CreditExhaustedFault, _KIND]], _OneOrMore
]
_Poll = Annotated[list[Annotated[AnyReply | UnknownStatusFault, _KIND]], _OneOrMore]
_List = Annotated[list[Annotated[AnyReply | WithoutInputFault | LagFault, _KIND]], _OneOrMore]
_Upload = Annotated[list[Annotated[AnyReply | DeduplicatedFault, _KIND]], _OneOrMore]
_Bills = Annotated[
    list[Annotated[AnyReply | LagFault | UsdFloatsFault | WrongAmountFault, _KIND]], _OneOrMore
]
_Chat = Annotated[list[Annotated[AnyReply | RefusalFault | NonsenseFault, _KIND]], _OneOrMore]
_Job = Annotated[list[Annotated[JobFault, _KIND]], _OneOrMore]
_Output = Annotated[list[Annotated[OutputFault, _KIND]], _OneOrMore]
_Webhook = Annotated[list[Annotated[WebhookFault, _KIND]], _OneOrMore]


class FaultPlan(BaseModel):
    """Faults by area; an area takes one fault or a list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    any: _Any = []
    submit: _Submit = []
    poll: _Poll = []
    list: _List = []
    upload: _Upload = []
    delete: _Plain = []
    bills: _Bills = []
    download: _Plain = []
    chat: _Chat = []
    job: _Job = []
    output: _Output = []
    webhook: _Webhook = []


@dataclass
class _Entry:
    """A fault in force, how often it was matched and how often it hit."""

    area: Area
    fault: Fault
    seen: int = 0
    used: int = 0

    def document(self) -> dict[str, JsonValue]:
        fault = self.fault.model_dump(mode="json")
        return {"area": self.area, "fault": fault, "seen": self.seen, "used": self.used}

    def hits(self, text: str) -> bool:
        """Whether the fault applies to this match, which is counted."""
        if self.fault.match is not None and self.fault.match not in text:
            return False
        if self.fault.times is not None and self.used >= self.fault.times:
            return False
        self.seen += 1
        # One draw per match and seed, so that a restart continues the same series.
        draw = random.Random(f"{self.fault.seed}:{self.seen}").random()  # noqa: S311 - test dice
        if draw >= self.fault.probability:
            return False
        self.used += 1
        return True


class FaultBoard:
    """The faults in force. `save` is called with the board's JSON whenever it changes."""

    def __init__(self, saved: str | None, save: Callable[[str], None]) -> None:
        self._save = save
        self._entries = [_entry(each) for each in json.loads(saved)] if saved else []

    def put(self, plan: FaultPlan) -> None:
        """Replaces the faults of the areas that the plan names; the others stay."""
        areas = plan.model_fields_set
        kept = [each for each in self._entries if each.area not in areas]
        new = [_Entry(area, each) for area in AREAS for each in _faults(plan, area)]
        self._entries = kept + new
        self._changed()

    def clear(self, area: Area | None = None) -> None:
        """Removes the faults of one area, or all."""
        self._entries = [each for each in self._entries if area not in (None, each.area)]
        self._changed()

    def take(self, area: Area, kind: type[_F], text: str = "") -> _F | None:
        """The first fault of the area and kind that hits; it is counted as used."""
        return next(self._hits(area, kind, text), None)

    def take_kept(self, text: str) -> tuple[KeptFault, ...]:
        """Every fault that a job accepted now is to have."""
        hits = [hit for area in KEPT_AREAS for hit in self._hits(area, Fault, text)]
        return tuple(hit for hit in hits if isinstance(hit, JobFault | OutputFault | WebhookFault))

    def document(self) -> dict[str, JsonValue]:
        """What `GET /sandbox/faults` shows: each fault with how often it was seen and used."""
        shown: dict[str, list[JsonValue]] = {}
        for each in self._entries:
            counted = {"seen": each.seen, "used": each.used}
            shown.setdefault(each.area, []).append(
                {**each.fault.model_dump(mode="json"), **counted}
            )
        return {"faults": dict(shown)}

    def _hits(self, area: Area, kind: type[_F], text: str) -> Iterator[_F]:
        for each in self._entries:
            if each.area == area and isinstance(each.fault, kind):
                seen = each.seen
                if each.hits(text):
                    self._changed()
                    yield each.fault
                elif each.seen != seen:
                    self._changed()

    def _changed(self) -> None:
        self._save(json.dumps([each.document() for each in self._entries]))


def _faults(plan: FaultPlan, area: Area) -> list[Fault]:
    faults: list[Fault] = getattr(plan, area)
    return faults


def _entry(document: dict[str, JsonValue]) -> _Entry:
    plan = FaultPlan.model_validate({str(document["area"]): document["fault"]})
    area = AREAS_BY_NAME[str(document["area"])]
    seen, used = document["seen"], document["used"]
    assert isinstance(seen, int)
    assert isinstance(used, int)
    return _Entry(area, _faults(plan, area)[0], seen, used)

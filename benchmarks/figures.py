"""What a measure hands back, and what it is told: the contract between measures and runner.

A measure is a module of this folder with one coroutine, which the runner finds by its name:

    async def measure(scale: Scale) -> list[Figure]

It starts what it needs, takes as many samples as `scale.times(usual)` says at the size that
`scale.of(full)` says, and ends everything it started.
"""

import statistics
import sys
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

KEY_PATTERN = r"^[a-z]+(\.[a-z0-9_]+)*$"


class Verdict(StrEnum):
    """What a figure says of its goal."""

    MET = "met"
    MISSED = "missed"
    REDUCED = "not at full size"
    UNJUDGED = "no goal"


class Goal(BaseModel):
    """A number that the median must not fall below, or not rise above."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a goal is either at_least or at_most")
        return self

    @property
    def number(self) -> float:
        """The number, whatever its direction."""
        number = self.at_most if self.at_least is None else self.at_least
        assert number is not None, "the model holds one of them"
        return number

    @property
    def sign(self) -> str:
        """≥ or ≤."""
        return "≤" if self.at_least is None else "≥"

    def is_met_by(self, value: float) -> bool:
        """Whether `value` is on the right side, the number itself included."""
        return value <= self.number if self.at_least is None else value >= self.number


def at_least(number: float) -> Goal:
    """The median must be `number` or more."""
    return Goal(at_least=number)


def at_most(number: float) -> Goal:
    """The median must be `number` or less."""
    return Goal(at_most=number)


class Figure(BaseModel):
    """One thing that was measured, one sample per repeat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern=KEY_PATTERN)
    """The measure's name, and after a dot which of its figures: `waiting.memory`."""
    what: str
    """What was measured against what, as a row of the table."""
    unit: str = ""
    """Behind each number, such as `kB` or `ms`; empty for a ratio or a count."""
    samples: tuple[float, ...] = Field(min_length=1)
    goal: Goal | None = None
    """None: told beside the others, not judged."""
    notes: tuple[str, ...] = ()
    """Sentences for the report: what was counted, what stands behind the number."""

    @property
    def median(self) -> float:
        """What is judged."""
        return statistics.median(self.samples)

    def verdict(self, scale: "Scale") -> Verdict:
        """The goal's verdict; only a run at full size may claim one."""
        if self.goal is None:
            return Verdict.UNJUDGED
        if not scale.is_full:
            return Verdict.REDUCED
        return Verdict.MET if self.goal.is_met_by(self.median) else Verdict.MISSED


class Scale(BaseModel):
    """How large and how often to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(default=1.0, gt=0, le=1)
    """Of the full size; 1 is what the goals are about."""
    repeats: int | None = Field(default=None, ge=1)
    """Instead of each measure's own number."""

    @property
    def is_full(self) -> bool:
        """Whether a goal can be claimed."""
        return self.share == 1

    def of(self, full: int, *, least: int = 1) -> int:
        """The share of a full size, but no less than `least`."""
        return max(least, round(full * self.share))

    def times(self, usual: int) -> int:
        """How many samples to take where the measure's own number is `usual`."""
        return usual if self.repeats is None else self.repeats


def tell(text: str) -> None:
    """A line of progress to stderr: a measure takes minutes."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()

"""The live view of generations on a terminal: stages, elapsed time, the estimated percent."""

import time
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from workflows.contracts.stages import PARKED, TERMINAL, Stage

if TYPE_CHECKING:
    from workflows.contracts.progress import Progress

_USUAL = tuple(stage for stage in Stage if stage not in PARKED and stage not in TERMINAL)


class _Track:
    """One generation: its newest progress, and when it was seen in each stage first."""

    def __init__(self, progress: "Progress") -> None:
        self.first_seen_at: dict[Stage, float] = {}
        self.spinner = Spinner("dots")
        self.take(progress)

    def take(self, progress: "Progress") -> None:
        self.progress = progress
        self.taken_at = time.monotonic()
        self.first_seen_at.setdefault(progress.stage, self.taken_at)

    @property
    def elapsed_s(self) -> int:
        """Ticks between two looks too, until the end."""
        since = 0.0 if self.progress.stage in TERMINAL else time.monotonic() - self.taken_at
        return int(self.progress.elapsed_s + since)

    @property
    def percent(self) -> str:
        return f"{'~' if self.progress.is_estimate else ''}{self.progress.percent} %"


class Tracks:
    """A renderable of all tracks: every stage of a single one, else a line for each."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    def show(self, label: str, progress: "Progress") -> None:
        """Take note of the newest progress of `label`."""
        known = self._tracks.get(label)
        if known is None:
            self._tracks[label] = _Track(progress)
        else:
            known.take(progress)

    def __rich__(self) -> RenderableType:
        # A copy: the live view renders in a thread of its own.
        tracks = dict(self._tracks)
        if len(tracks) == 1:
            ((label, track),) = tracks.items()
            return _stages(label, track)
        return _lines(tracks)


def _lines(tracks: dict[str, _Track]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for _ in range(4):
        grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for label, track in tracks.items():
        grid.add_row(
            _mark(track),
            Text(label, style="bold"),
            Text(f"{track.percent:>6}"),
            Text(f"{track.elapsed_s} s", style="dim"),
            Text(track.progress.message),
        )
    return grid


def _mark(track: _Track) -> RenderableType:
    match track.progress.stage:
        case Stage.COMPLETED:
            return Text("✓", style="green")
        case Stage.FAILED | Stage.CANCELLED:
            return Text("✗", style="red")
        case stage if stage in PARKED:
            return Text("⏸", style="yellow")
        case _:
            return track.spinner


def _stages(label: str, track: _Track) -> RenderableType:
    head = Text.assemble((label, "bold"), f"  {track.percent}  ", (f"{track.elapsed_s} s", "dim"))
    grid = Table.grid(padding=(0, 1))
    now = track.progress.stage
    reached = _USUAL.index(now) if now in _USUAL else len(_USUAL)
    for number, stage in enumerate(_USUAL):
        seen = stage in track.first_seen_at
        if stage is now:
            grid.add_row(track.spinner, Text(track.progress.message, style="bold"))
        elif number < reached and (now in _USUAL or now is Stage.COMPLETED or seen):
            grid.add_row(Text("✓", style="green"), Text(stage.value))
        elif now in _USUAL:
            grid.add_row(Text("·", style="dim"), Text(stage.value, style="dim"))
    if now not in _USUAL:
        grid.add_row(_mark(track), Text(track.progress.message, style="bold"))
    return Group(head, grid)

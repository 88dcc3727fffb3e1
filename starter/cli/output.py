"""What leaves the process: data on stdout, progress and hints on stderr. Nothing else prints.

`human` is for people: tables and a live view on a terminal, plain lines elsewhere. `json` is one
value, `jsonl` one value a line, `quiet` the bare ids or paths. An error is a sentence on stderr for
people, and `{"error": {…}}` on stdout in the JSON modes, where the data would have been.

Much of it is the words of others: prompts, names, a provider's messages. In every mode they reach
the terminal as what can be read, never as what steers it, and begin no line that looks like ours.
"""

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

    from starter.cli.refusals import Complaint
    from workflows.contracts.progress import Progress

Mode = Literal["human", "json", "jsonl", "quiet"]
Json = BaseModel | Mapping[str, Any]

_GAP = 2
_FLEXIBLE_MIN = 12
_PLAIN_WIDTH = 10_000
"""Elsewhere than on a terminal no line is folded: it may be read by a script after all."""


class Fields(NamedTuple):
    """Names and values, one a line; a value of None is left out."""

    rows: Sequence[tuple[str, str | None]]


class Table(NamedTuple):
    """Rows under headings. On a narrow terminal columns are dropped, and cells wrapped or cut."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    droppable: Sequence[str] = ()
    """Headings of columns that can be missed, the first to go first."""
    wraps: Sequence[str] = ()
    """Headings of columns that may take several lines; without any the last one is cut."""


Block = str | Fields | Table


class View(Protocol):
    """Shows where generations are."""

    def show(self, label: str, progress: "Progress") -> None:
        """Take note of the newest progress of `label`."""
        ...


class Output:
    """The two streams, in one mode."""

    def __init__(self, mode: Mode = "human") -> None:
        self.mode: Mode = mode

    @property
    def is_terminal(self) -> bool:
        """Whether a person sees the data appear."""
        return sys.stdout.isatty()

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer."""
        return self.mode == "human" and sys.stdin.isatty() and sys.stderr.isatty()

    def value(self, data: Json, *blocks: Block, bare: str = "") -> None:
        """One result: `data` for scripts, `blocks` for people, `bare` for `quiet`."""
        match self.mode:
            case "json":
                _write(_json(data, indent=2 if self.is_terminal else None))
            case "jsonl":
                _write(_json(data))
            case "quiet":
                _write(_one_line(bare))
            case "human":
                self._print_all(blocks)

    def rows(self, items: Sequence[Json], *blocks: Block, bare: Sequence[str] = ()) -> None:
        """Many results: a JSON array, a line each, `blocks` for people, or the bare lines."""
        match self.mode:
            case "json":
                plain = [_plain(item) for item in items]
                _write(_dumped(plain, indent=2 if self.is_terminal else None))
            case "jsonl":
                _write(*(_json(item) for item in items))
            case "quiet":
                _write(*map(_one_line, bare))
            case "human":
                self._print_all(blocks)

    def event(self, data: Json) -> None:
        """Something on the way to the result; only `jsonl` has room for it in the data."""
        if self.mode == "jsonl":
            _write(_json(data))

    def note(self, text: str) -> None:
        """A hint for people, on stderr; `quiet` leaves it out."""
        if self.mode != "quiet":
            _console(stderr=True).print(_printable(text), markup=False, highlight=False)

    def complain(self, complaint: "Complaint") -> None:
        """Say why it could not be done, what became of the money, and what to type next."""
        if self.mode in {"json", "jsonl"}:
            _write(_json({"error": complaint.document()}))
            return
        console = _console(stderr=True)
        console.print("Error: ", style="bold red", end="", markup=False)
        for line in complaint.lines():
            console.print(_indented(line), markup=False, highlight=False)

    def ask(self, question: str) -> bool:
        """Ask for a yes; anything else is a no."""
        sys.stderr.write(f"{_one_line(question)} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    @contextmanager
    def following(self) -> Generator[View]:
        """A view for the time of the block: live on a terminal, a line for each stage elsewhere."""
        if self.mode == "quiet":
            yield _Silence()
        elif self.mode == "human" and sys.stderr.isatty():
            from rich.live import Live

            from starter.cli.tracks import Tracks

            tracks = Tracks()
            with Live(tracks, console=_console(stderr=True), refresh_per_second=4):
                yield _Readable(tracks)
        else:
            yield _Readable(_Lines(self))

    def _print_all(self, blocks: Sequence[Block]) -> None:
        console = _console()
        for block in blocks:
            _print(console, block)


class _Silence:
    """Shows nothing."""

    def show(self, label: str, progress: "Progress") -> None:
        """Nothing is asked for."""


class _Readable:
    """Passes on what can be read: a label is a caller's own id, a message may quote one."""

    def __init__(self, view: View) -> None:
        self._view = view

    def show(self, label: str, progress: "Progress") -> None:
        """Take note of the newest progress of `label`."""
        message = _one_line(progress.message)
        self._view.show(_one_line(label), progress.model_copy(update={"message": message}))


class _Lines:
    """One line on stderr for each stage of each generation."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._stages: dict[str, str] = {}

    def show(self, label: str, progress: "Progress") -> None:
        """Print where the stage of `label` is a new one."""
        self._output.event({"label": label} | progress.model_dump(mode="json"))
        if self._stages.get(label) == progress.stage:
            return
        self._stages[label] = progress.stage
        mark = "~" if progress.is_estimate else ""
        self._output.note(
            f"{label}  {progress.stage}  {mark}{progress.percent} %  {progress.elapsed_s} s"
            f"  {progress.message}"
        )


def _write(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _plain(data: Json) -> dict[str, Any]:
    return data.model_dump(mode="json") if isinstance(data, BaseModel) else dict(data)


def _json(data: Json, indent: int | None = None) -> str:
    return _dumped(_plain(data), indent)


def _dumped(value: object, indent: int | None = None) -> str:
    """JSON whose letters stay letters; whatever is no visible character is written as its escape.

    JSON itself leaves C1 controls and marks of direction as they are.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _printable(text: str) -> str:
    """Text of others without control characters, which could rewrite a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _one_line(text: str) -> str:
    """The same where a second line would be taken for another row or field."""
    return _printable(text).replace("\n", " ")


def _indented(text: str, by: int = _GAP) -> str:
    """The same where a text may have lines: they stand under the first, not beside our own."""
    return _printable(text).replace("\n", "\n" + " " * by)


def _console(*, stderr: bool = False) -> "Console":
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, width=width, soft_wrap=True, emoji=False)


def _print(console: "Console", block: Block) -> None:
    from rich.text import Text

    if isinstance(block, str):
        # Folded by us, an address could not be copied whole from a narrow terminal.
        console.print(_printable(block), markup=False, highlight=False, soft_wrap=True)
        return
    if isinstance(block, Fields):
        names = [name for name, value in block.rows if value is not None]
        width = max(map(len, names), default=0)
        for name, value in block.rows:
            if value is not None:
                line = Text(f"{name:<{width}}  ", style="dim")
                line.append(_indented(value, width + _GAP), style="not dim")
                console.print(line)
        return
    console.print(_table(_fitting(block, console.width), console.width), soft_wrap=False)


def _fitting(table: Table, width: int) -> Table:
    """The table without the columns for which there is no room."""
    for heading in table.droppable:
        if _needed(table) <= width:
            break
        index = list(table.headings).index(heading)
        keep = [number for number in range(len(table.headings)) if number != index]
        table = table._replace(
            headings=[table.headings[number] for number in keep],
            rows=[[row[number] for number in keep] for row in table.rows],
        )
    return table


def _needed(table: Table) -> int:
    """The least width: a column that is cut or wrapped can do with a little."""
    flexible = set(table.wraps or table.headings[-1:])
    widths = [
        min(width, _FLEXIBLE_MIN) if heading in flexible else width
        for heading, width in zip(table.headings, _natural_widths(table), strict=True)
    ]
    return sum(widths) + _GAP * (len(widths) - 1)


def _natural_widths(table: Table) -> list[int]:
    return [max(map(len, column)) for column in zip(table.headings, *table.rows, strict=True)]


def _table(table: Table, width: int) -> "RichTable":
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for heading in table.headings:
        drawn.add_column(heading, no_wrap=heading not in table.wraps, overflow="fold")
    room = _PLAIN_WIDTH
    if not table.wraps:
        last = max((len(row[-1]) for row in table.rows), default=0)
        room = last + width - sum(_natural_widths(table)) - _GAP * (len(table.headings) - 1)
    for row in table.rows:
        *cells, end = map(_one_line, row)
        drawn.add_row(*map(Text, cells), Text(end if len(end) <= room else f"{end[: room - 1]}…"))
    return drawn

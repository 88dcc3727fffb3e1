"""The live line of a batch: how many of its items are where."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starter.cli.output import Output
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from workflows.contracts.batch_results import Batch

Show = Callable[["Batch"], None]


@contextmanager
def counting(output: Output) -> Generator[Show]:
    """A line for the time of the block: live on a terminal, one for each change elsewhere."""
    if output.mode != "human" or not sys.stderr.isatty():
        yield _Lines(output).show
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(file=sys.stderr), refresh_per_second=4) as live:
        yield lambda seen: live.update(Text(line_of(seen), no_wrap=True, overflow="ellipsis"))


def line_of(batch: "Batch") -> str:
    """Id, share, counts and money on one line."""
    told = f"{batch.batch_id}  {batch.percent} %  {batch.message}"
    if not batch.quoted_usd_micros:
        return told
    return f"{told}  {dollars(batch.cost_usd_micros)} of {dollars(batch.quoted_usd_micros)}"


class _Lines:
    """A line on stderr whenever the counts change, an object on stdout for `jsonl`."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told = ""

    def show(self, seen: "Batch") -> None:
        self._output.event(seen)
        line = line_of(seen)
        if line != self._told:
            self._told = line
            self._output.note(line)

"""`make rehearse`: the operators' handbook, executed as far as this machine allows.

Every console block of docs/operators.md says before itself whether it is executed:

    <!-- rehearse -->                      its commands run, in order, in one shell
    <!-- rehearse: docker-compose -->      the same, where that program is
    <!-- not rehearsed: the reason -->     they don't, and the list at the end says why
    <!-- rehearsal: videos are being made -->   something happens: a function of `drill.py`

A command that fails ends the rehearsal. It prints each command, and last what it could not run.
"""

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.documents.drill import Drill
from tests.documents.shell import Failed, Shell

REPOSITORY = Path(__file__).parents[2]
HANDBOOK = REPOSITORY / "docs" / "operators.md"
_COMMENT = re.compile(r"<!-- (rehearse|not rehearsed|rehearsal)(?:: (.+))? -->")


class Block(NamedTuple):
    """Commands of one console block."""

    line: int
    commands: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Programs without which it is left out."""
    left_out: str | None = None
    """Why it is never executed here."""


class Happening(NamedTuple):
    """Something that the handbook speaks of and no command does."""

    line: int
    name: str


def parse(text: str) -> Iterator[Block | Happening]:
    """The handbook's blocks and happenings, in order.

    Raises:
        ValueError: a console block does not say whether it is executed.
    """
    said: Block | None = None
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if comment := _COMMENT.fullmatch(line.strip()):
            kind, rest = comment.groups()
            if kind == "rehearsal":
                yield Happening(number, rest)
            elif kind == "rehearse":
                said = Block(number, (), needs=tuple(rest.split()) if rest else ())
            else:
                said = Block(number, (), left_out=rest)
        elif line.strip() == "```console":
            if said is None:
                raise ValueError(f"line {number}: the block does not say whether it is executed")
            yield said._replace(line=number, commands=tuple(_commands(lines)))
            said = None


def _commands(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    """What follows `$ `, with its continued lines, up to the block's end."""
    for _, line in lines:
        if line.strip() == "```":
            return
        if not line.startswith("$ "):
            continue
        command = line.removeprefix("$ ")
        while command.endswith("\\"):
            command = f"{command}\n{next(lines)[1]}"
        yield command


async def rehearse(handbook: Path = HANDBOOK) -> list[tuple[Block, str]]:
    """Execute the handbook; what was left out, with the reason.

    Raises:
        Failed: a command, or what it promises, did not come true.
    """
    left_out: list[tuple[Block, str]] = []
    with tempfile.TemporaryDirectory(prefix="stillmotion-rehearsal-") as name:
        folder = Path(name)
        for part in ("examples", "deploy", "docker-compose.yml"):
            (folder / part).symlink_to(REPOSITORY / part)
        shell = await Shell.start(folder, folder / "commands.log")
        try:
            async with Drill(folder, shell) as drill:
                for part in parse(handbook.read_text("utf-8")):
                    if isinstance(part, Happening):
                        _say(f"# {part.name}")
                        await drill.happen(part.name)
                    elif reason := _why_not(part):
                        left_out.append((part, reason))
                    else:
                        await _execute(part, shell)
        finally:
            await shell.close()
    return left_out


async def _execute(block: Block, shell: Shell) -> None:
    for command in block.commands:
        _say(f"$ {command}")
        _say(await shell.run(command), end="")


def _why_not(block: Block) -> str | None:
    if block.left_out is not None:
        return block.left_out
    missing = [program for program in block.needs if shutil.which(program) is None]
    return f"{', '.join(missing)} is not installed" if missing else None


def _say(text: str, end: str = "\n") -> None:
    sys.stdout.write(f"{text}{end}")
    sys.stdout.flush()


def main() -> int:
    """Rehearse, then list what was left out."""
    try:
        left_out = asyncio.run(rehearse())
    except Failed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _say("\nNot executed here:")
    for block, reason in left_out:
        for command in block.commands:
            _say(f"  {HANDBOOK.name}:{block.line}  {command}\n      {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

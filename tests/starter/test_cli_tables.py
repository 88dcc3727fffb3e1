"""Tables for people: everything where nothing limits, what matters most on a narrow terminal."""

import io

import pytest
from rich.console import Console

from starter.cli import output
from starter.cli.output import Output, Table

WIDE = Table(
    ("id", "model", "prompt"),
    [("gen_1", "a-model-of-a-long-name", "steam rises slowly from the cup")],
    droppable=("model",),
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(table: Table, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen = Terminal()
    console = Console(file=seen, width=width, color_system=None, soft_wrap=True)
    monkeypatch.setattr(output, "_console", lambda: console)

    Output().rows([], table)

    return [line.rstrip() for line in seen.getvalue().splitlines()]


def test_what_fits_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    _, row = drawn(WIDE, 80, monkeypatch)

    assert row == "gen_1  a-model-of-a-long-name  steam rises slowly from the cup"


def test_a_narrow_terminal_cuts_the_last_column(monkeypatch: pytest.MonkeyPatch) -> None:
    _, row = drawn(WIDE, 50, monkeypatch)

    assert row == "gen_1  a-model-of-a-long-name  steam rises slowly…"


def test_a_narrower_one_drops_what_can_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    headings, row = drawn(WIDE, 38, monkeypatch)

    assert headings.split() == ["id", "prompt"]
    assert row == "gen_1  steam rises slowly from the cup"


def test_a_column_that_wraps_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = WIDE._replace(droppable=(), wraps=("prompt",))

    _, *rows = drawn(table, 50, monkeypatch)

    assert len(rows) == 2
    assert " ".join(row.split("  ")[-1].strip() for row in rows) == WIDE.rows[0][2]


def test_the_words_of_others_can_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(("id", "prompt"), [("gen_1", "\x1b[2Jgone\x07 [bold]so[/bold]")])

    _, row = drawn(table, 80, monkeypatch)

    assert row == "gen_1   [2Jgone  [bold]so[/bold]"

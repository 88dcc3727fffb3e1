"""What strangers write begins no log line of its own and steers nobody's terminal."""

import asyncio
import io
import json
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime

import pytest

from starter.cli.output import Fields, Mode, Output, Table
from starter.cli.refusals import Complaint
from tests.security.conftest import TRICKS
from workflows.contracts.progress import Progress, ProgressFacts, estimate
from workflows.contracts.stages import Stage

LOGGING = """
import json, logging, sys
import structlog
from workers.telemetry import configure_logging

tricks = json.load(sys.stdin)
configure_logging(sys.argv[1])
ours, theirs = structlog.get_logger("ours"), logging.getLogger("temporalio.activity")
for trick in tricks:
    ours.info(trick, **{"user_id": trick, "key" + trick: 1}, nested={trick: [trick]})
    theirs.warning("Completing activity as failed (%s)", {"workflow_id": trick})
    theirs.warning("the provider said %s", trick)
    logging.getLogger("name" + trick).error("an event")
    try:
        raise ValueError(trick)
    except ValueError:
        ours.exception("failed")
        theirs.exception("failed")
"""
EVENTS_OF_A_TRICK = 6
MODES: tuple[Mode, ...] = ("human", "json", "jsonl", "quiet")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that knows none: whatever steers it is a stranger's."""
    monkeypatch.setenv("TERM", "dumb")


@contextmanager
def a_terminal() -> Generator[Terminal]:
    """Both streams, as a person sees them. In the test itself: pytest sets its own for each."""
    seen = Terminal()
    with redirect_stdout(seen), redirect_stderr(seen):
        yield seen


async def logged(log_format: str) -> list[str]:
    """The lines that a worker's log gets of every trick."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOGGING, log_format),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, written = await process.communicate(json.dumps(list(TRICKS.values())).encode())
    assert process.returncode == 0, written.decode()
    return written.decode().removesuffix("\n").split("\n")


async def test_an_event_is_one_line_of_the_console_and_only_tracebacks_have_more() -> None:
    lines = await logged("console")

    began = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(info|warning|error) +\] ")
    events = [line for line in lines if began.match(line)]
    assert all(line.startswith("    ") for line in lines if line not in events)
    assert len(events) == EVENTS_OF_A_TRICK * len(TRICKS)
    assert all(line.isprintable() for line in lines)
    assert any("ValueError" in line for line in lines)


async def test_an_event_is_one_line_of_json_that_gives_the_words_back() -> None:
    lines = await logged("json")

    events = [json.loads(line) for line in lines]
    assert len(events) == EVENTS_OF_A_TRICK * len(TRICKS)
    assert all(line.isprintable() for line in lines)
    assert {event["user_id"] for event in events if "user_id" in event} == set(TRICKS.values())


def a_progress(message: str) -> Progress:
    facts = ProgressFacts(
        generation_id="gen_one",
        stage=Stage.GENERATING,
        since=datetime(2026, 11, 22, tzinfo=UTC),
        started_at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    shown = estimate(facts, datetime(2026, 11, 22, 0, 1, tzinfo=UTC))
    return shown.model_copy(update={"message": message})


def follow(output: Output, words: str) -> None:
    with output.following() as view:
        for label in (words, f"second {words}"):
            view.show(label, a_progress(words))


def show(output: Output, words: str) -> None:
    document = {"prompt": words, words: [words]}
    output.value(document, Fields([("prompt", words), ("next", "none")]), bare=words)


def show_rows(output: Output, words: str) -> None:
    table = Table(("id", "prompt", "end"), [("gen_1", words, words)], wraps=("prompt",))
    output.rows([{"prompt": words}], table, bare=[words])


def complain(output: Output, words: str) -> None:
    output.complain(Complaint("invalid_request", words, words, words))


def note(output: Output, words: str) -> None:
    output.note(words)


def tell_event(output: Output, words: str) -> None:
    output.event({"label": words})


SAYINGS = [show, show_rows, complain, follow, note, tell_event]
SILENT = [("quiet", follow), ("quiet", note), *((mode, tell_event) for mode in MODES)]
"""These modes have no place for it; `jsonl` has one for events."""
SILENT.remove(("jsonl", tell_event))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("say", SAYINGS)
@pytest.mark.parametrize("words", TRICKS.values(), ids=TRICKS)
def test_nothing_but_letters_and_line_ends_reaches_a_terminal(
    mode: Mode, say: Callable[[Output, str], None], words: str
) -> None:
    with a_terminal() as terminal:
        say(Output(mode), f"begin{words}end")

    told = terminal.getvalue()
    assert {c for c in told if not c.isprintable() and c != "\n"} == set()
    # A narrow view cuts the end.
    assert "begin" in told or (mode, say) in SILENT


def test_a_question_is_one_line_of_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))

    with a_terminal() as terminal:
        assert Output().ask("Delete\x1b[2J\n[y/N] y\n?")

    assert terminal.getvalue() == "Delete [2J [y/N] y ? [y/N] "


FORGED = "a calm sea\nstatus   completed\nmoney    Nothing was charged."


@pytest.mark.parametrize("say", [show, show_rows, complain, follow])
def test_a_second_line_of_a_strangers_words_does_not_look_like_a_field_of_ours(
    say: Callable[[Output, str], None],
) -> None:
    with a_terminal() as terminal:
        say(Output("human"), FORGED)

    assert "status   completed" in terminal.getvalue()
    assert not re.search(r"^(status|money)", terminal.getvalue(), re.MULTILINE)


def test_in_the_json_modes_the_words_come_back_as_they_were() -> None:
    all_words = [*TRICKS.values(), "Ünïcödé 日本語 👍", "lone \ud800"]

    with a_terminal() as terminal:
        for words in all_words:
            Output("jsonl").value({"prompt": words})

    assert [json.loads(line)["prompt"] for line in terminal.getvalue().splitlines()] == all_words
    assert "日本語 👍" in terminal.getvalue()


def test_colons_in_an_id_are_no_emoji() -> None:
    with a_terminal() as terminal:
        Output().value({}, "gen:skull:1", bare="")

    assert terminal.getvalue() == "gen:skull:1\n"

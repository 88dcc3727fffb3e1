"""`doctor`, a stack without workers, no stack at all, and the options that stand everywhere."""

import os
import pty
import re
from importlib.metadata import version

import pytest

from starter import handles
from tests.starter.conftest import (
    A_VIDEO,
    COFFEE,
    NOTHING,
    Cli,
    Path,
    Stack,
    clean_environment,
    run_cli,
    run_here,
)


async def test_the_doctor_finds_a_sound_stack_sound(cli: Cli) -> None:
    ran = await cli("doctor", "-o", "json")

    assert ran.code == 0, ran
    assert ran.json["ok"] is True
    assert [check["name"] for check in ran.json["checks"]] == [
        *("settings", "code", "catalogue", "postgresql", "temporal", "migrations", "ledger"),
        *("clock", "submits", "callbacks", "namespace", "search attributes"),
        "queue stillmotion",
        *("queue stillmotion-submit", "queue stillmotion-reconcile"),
        *("queue stillmotion-poll", "queue stillmotion-media", "versions"),
        *("media store", "provider", "llm", "webhooks", "pacing", "sweeper", "findings"),
        *("payload keys", "metrics", "traces"),
    ]


async def test_the_doctor_names_queues_that_nobody_polls_and_the_repair(
    idle_stack: Stack,
) -> None:
    ran = await run_cli("doctor", "--data-dir", str(idle_stack.data_dir))

    assert ran.code == 3
    line = next(line for line in ran.out.splitlines() if "stillmotion-poll" in line)
    assert line.startswith("✗")
    assert "nobody polls it. Repair: stillmotion worker --queues stillmotion-poll" in line
    assert re.search(r"^✓\s+postgresql\s+version", ran.out, re.MULTILINE)


async def test_the_doctor_sees_a_ledger_that_does_not_add_up(idle_stack: Stack) -> None:
    await idle_stack.database.execute(
        "INSERT INTO balances (user_id, period, videos_settled)"
        " VALUES ('crook', tstzrange(now(), now() + interval '1 month', '[)'), 5)"
    )
    try:
        ran = await run_here("doctor", "-o", "json", "--data-dir", str(idle_stack.data_dir))
    finally:
        await idle_stack.database.execute("DELETE FROM balances WHERE user_id = 'crook'")

    (ledger,) = [check for check in ran.json["checks"] if check["name"] == "ledger"]
    assert ledger["ok"] is False
    assert "crook" in ledger["detail"]


async def test_the_doctor_says_what_to_start_where_nothing_runs(tmp_path: Path) -> None:
    ran = await run_here("doctor", "-o", "json", "--data-dir", str(tmp_path))

    assert ran.code == 3
    assert ran.json["checks"][0]["repair"] == f"stillmotion dev --data-dir {tmp_path}"


async def test_settings_are_listed_with_their_source_and_no_secret(cli: Cli) -> None:
    ran = await cli(
        *("doctor", "--settings", "-o", "json"),
        WAVESPEED_API_KEY="wsk-0123456789-abcd",
        STILLMOTION_DEFAULT_PLAN="pro",
    )

    found = {setting["name"]: setting for setting in ran.json}
    assert found["WAVESPEED_API_KEY"]["value"] == "present, ends in abcd"
    assert found["STILLMOTION_DEFAULT_PLAN"]["source"] == "environment"
    assert found["STILLMOTION_DATABASE_URL"]["source"] == "dev"
    assert found["STILLMOTION_DECODE_TIMEOUT_S"]["source"] == "default"
    assert "0123456789" not in ran.out + ran.err


async def test_a_databases_password_is_not_listed(tmp_path: Path) -> None:
    ran = await run_here(
        *("doctor", "--settings", "--data-dir", str(tmp_path)),
        STILLMOTION_DATABASE_URL="postgresql://ann:hush@db.example/stillmotion?password=hush",
    )

    assert "hush" not in ran.out + ran.err
    assert "postgresql://ann:…@db.example/stillmotion" in ran.out


async def test_a_wrong_setting_is_named_by_its_variable(cli: Cli) -> None:
    ran = await cli("list", STILLMOTION_SPEND_LIMIT_USD_DAY="lots")

    assert ran.code == 2
    assert "STILLMOTION_SPEND_LIMIT_USD_DAY: " in ran.err


async def test_a_missing_setting_is_named_by_its_variable(tmp_path: Path) -> None:
    ran = await run_here(
        "list", "--data-dir", str(tmp_path), STILLMOTION_DATABASE_URL="postgresql://127.0.0.1:1/x"
    )

    assert ran.code == 2
    assert "STILLMOTION_MEDIA_URL is not set." in ran.err


@pytest.mark.parametrize(
    ("url", "media", "code", "sentence"),
    [
        ("postgresql://127.0.0.1:1/x", "file:///tmp/x", 3, "PostgreSQL does not answer"),
        ("nonsense", "file:///tmp/x", 2, "STILLMOTION_DATABASE_URL: not an address"),
    ],
)
async def test_a_database_that_does_not_answer_is_told(
    tmp_path: Path, url: str, media: str, code: int, sentence: str
) -> None:
    ran = await run_cli(
        *("list", "--data-dir", str(tmp_path)),
        STILLMOTION_DATABASE_URL=url,
        STILLMOTION_MEDIA_URL=media,
    )

    assert ran.code == code
    assert sentence in ran.err
    assert "Traceback" not in ran.err


async def test_a_media_store_that_is_none_is_told(stack: Stack, tmp_path: Path) -> None:
    ran = await run_here(
        *("list", "--data-dir", str(tmp_path)),
        STILLMOTION_DATABASE_URL=stack.address.database,
        STILLMOTION_MEDIA_URL="ftp://example.com",
        TEMPORAL_ADDRESS=stack.address.temporal,
    )

    assert ran.code == 2
    assert "STILLMOTION_MEDIA_URL: the media URL must be file:///folder or s3://" in ran.err


async def test_temporal_that_does_not_answer_is_told(stack: Stack, tmp_path: Path) -> None:
    ran = await run_here(
        *("list", "--data-dir", str(tmp_path)),
        STILLMOTION_DATABASE_URL=stack.address.database,
        STILLMOTION_MEDIA_URL=stack.address.media,
        TEMPORAL_ADDRESS="127.0.0.1:1",
    )

    assert ran.code == 3
    assert "Temporal does not answer at 127.0.0.1:1." in ran.err


async def test_without_a_stack_every_verb_says_what_to_start(tmp_path: Path) -> None:
    for words in (A_VIDEO, ("list",), ("show", "gen_x"), ("usage",), ("pause",)):
        ran = await run_here(*words, "--data-dir", str(tmp_path))

        assert ran.code == 3, words
        assert f"start one with `stillmotion dev --data-dir {tmp_path}`" in ran.err


async def test_a_stack_that_has_gone_is_not_waited_for(stack: Stack, tmp_path: Path) -> None:
    left = stack.address.model_copy(update={"database": f"postgresql:///x?host={tmp_path}"})
    (tmp_path / "dev.json").write_text(left.model_dump_json())

    ran = await run_here("list", "--data-dir", str(tmp_path))

    assert ran.code == 3
    assert f"start it again with `stillmotion dev --data-dir {tmp_path}`" in ran.err


async def test_without_workers_it_starts_lists_shows_and_cancels(
    idle_stack: Stack, user: str
) -> None:
    async def run(*words: str) -> str:
        ran = await run_here(*words, "--data-dir", str(idle_stack.data_dir))
        assert ran.code == 0, ran
        return ran.out

    generation_id = (await run(*A_VIDEO, "--user", user, "-o", "quiet")).strip()

    assert (await run("list", "--user", user, "-o", "quiet")).strip() == generation_id
    assert re.search(
        r"^status\s+running \(accepted\)$", await run("show", generation_id), re.MULTILINE
    )
    assert await run("cancel", generation_id) == f"{generation_id} will end.\n"


async def test_a_decision_without_a_worker_is_not_taken(
    idle_stack: Stack, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "ANSWER_S", 0.5)
    where = ("--data-dir", str(idle_stack.data_dir))
    started = await run_here(*A_VIDEO, "--user", user, "-o", "quiet", *where)
    generation_id = started.out.strip()
    # Without a worker no generation gets there by itself.
    await idle_stack.database.execute(
        "UPDATE generations SET stage = 'unresolved' WHERE generation_id = $1", generation_id
    )

    ran = await run_here("resolve", generation_id, "--give-up", *where)

    assert ran.code == 3
    assert "No worker answered within 0.5 s." in ran.err
    assert "Nothing was decided. Start one: stillmotion worker" in ran.err


async def test_the_global_options_stand_before_or_after_the_verb(stack: Stack) -> None:
    where = ("--data-dir", str(stack.data_dir))

    before = await run_cli("-o", "json", *where, "plans")
    after = await run_cli("plans", *where, "--output=json")
    by_variable = await run_cli("plans", "-ojson", STILLMOTION_DATA_DIR=str(stack.data_dir))

    assert before.json == after.json == by_variable.json


async def test_help_names_every_verb_and_each_verb_has_an_example() -> None:
    ran = await run_here("--help")
    verbs = re.findall(r"^│ ([a-z][a-z-]+)\s", ran.out, re.MULTILINE)

    assert set(verbs) >= {
        "image-to-video",
        "estimate",
        "list",
        "show",
        "watch",
        "resume",
        "cancel",
        "resolve",
        "download",
        "open",
        "upload",
        "assets",
        "usage",
        "plans",
        "models",
        "dev",
        "demo",
        "worker",
        "sandbox",
        "migrate",
        "doctor",
        "pause",
        "unpause",
    }
    for verb in verbs:
        helped = await run_here(verb, "--help")
        assert helped.code == 0
        assert re.search(rf"For example:\s+stillmotion\s+{verb}", helped.out), verb


async def test_the_version_is_the_packages() -> None:
    ran = await run_cli("--version")

    assert (ran.code, ran.out.strip()) == (0, version("stillmotion"))


def on_a_terminal(words: tuple[str, ...], answer: str, **environment: str) -> tuple[int, str]:
    """Run a command on a terminal of its own; returns its exit code and what was seen."""
    import subprocess
    import sys

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from starter.cli import main; main()", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(TERM="xterm", COLUMNS="120", **environment),
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    seen = b""
    try:
        while chunk := os.read(ours, 65_536):
            seen += chunk
    except OSError:
        # The other end was closed: it has ended.
        pass
    os.close(ours)
    return process.wait(), seen.decode(errors="replace")


async def test_on_a_terminal_it_asks_before_spending_more_than_a_dollar(
    stack: Stack, user: str
) -> None:
    words = (
        *("image-to-video", COFFEE, "--prompt", "x", "--resolution", "1080p", "--duration", "10"),
        *("--user", user, "--data-dir", str(stack.data_dir)),
    )

    code, seen = on_a_terminal(words, "n\n")

    assert code == 5
    assert "This will cost $1.50. Start it? [y/N]" in seen
    assert "Not started. Nothing was charged." in seen
    assert await stack.rows_of(user) == NOTHING


async def test_on_a_terminal_it_waits_and_shows_the_stages_live(stack: Stack, user: str) -> None:
    words = (*A_VIDEO, "--user", user, "--data-dir", str(stack.data_dir))

    code, seen = on_a_terminal(words, "")

    assert code == 0
    assert "is accepted." in seen
    assert "~" in seen
    assert "\x1b[32m✓" in seen
    assert "The provider is generating" in seen


async def test_no_color_is_respected(stack: Stack) -> None:
    words = ("show", "gen_nobody", "--data-dir", str(stack.data_dir))

    _, coloured = on_a_terminal(words, "")
    _, plain = on_a_terminal(words, "", NO_COLOR="1")

    assert "\x1b[1;31mError" in coloured
    assert "\x1b[1;31m" not in plain
    assert "Error" in plain

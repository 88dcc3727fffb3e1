"""`doctor` on the sweeper and its findings, and `sweep` where no worker takes its looks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from starter.cli.sweep_checks import REMEDIES
from tests.starter.conftest import Cli, Stack
from workflows.contracts.sweeps import FindingKind


async def checked(cli: Cli, name: str) -> dict[str, Any]:
    ran = await cli("doctor", "-o", "json")
    (found,) = [check for check in ran.json["checks"] if check["name"] == name]
    return found


@pytest.fixture
async def rows(idle_stack: Stack) -> AsyncIterator[Stack]:
    """The stack without workers, so without sweeps; what a test writes goes with it."""
    yield idle_stack
    await idle_stack.database.execute("DELETE FROM findings")
    await idle_stack.database.execute("DELETE FROM sweeps")


async def found(stack: Stack, kind: FindingKind, subject: str, detail: str) -> None:
    await stack.database.execute(
        "INSERT INTO findings (kind, subject, detail) VALUES ($1, $2, $3)",
        kind.value,
        subject,
        detail,
    )


async def test_a_sweeper_that_nobody_scheduled_is_a_warning(rows: Stack, idle_cli: Cli) -> None:
    sweeper = await checked(idle_cli, "sweeper")

    assert sweeper["ok"] is True
    assert sweeper["detail"] == (
        "warning: no run yet, and no schedule; a worker makes it, or: stillmotion sweep"
    )


async def test_a_look_that_failed_in_the_last_sweep_is_told(rows: Stack, idle_cli: Cli) -> None:
    await rows.database.execute(
        "INSERT INTO sweeps (run_id, started_at, ended_at, failed)"
        " VALUES ('run', now(), now() - interval '3 hours', '{\"bills\": \"It is busy.\"}')"
    )

    sweeper = await checked(idle_cli, "sweeper")

    assert "last run 3 h ago; warning: bills: It is busy." in sweeper["detail"]


async def test_what_needs_a_person_is_not_ok_and_says_what_to_type(
    rows: Stack, idle_cli: Cli
) -> None:
    await found(rows, FindingKind.UNRESOLVED, "gen_one", "since yesterday")
    await found(rows, FindingKind.UNRESOLVED, "gen_two", "since today")
    await found(rows, FindingKind.HOUSE_LOSS, "house", "$1.00 in the last 30 days")

    findings = await checked(idle_cli, "findings")

    assert findings["ok"] is False
    assert "2 unresolved, such as gen_one (since yesterday)" in findings["detail"]
    assert "1 house_loss, such as house ($1.00 in the last 30 days)" in findings["detail"]
    assert findings["repair"] == "stillmotion resolve gen_one --adopt/--resubmit/--give-up"


async def test_what_needs_nobody_is_a_warning(rows: Stack, idle_cli: Cli) -> None:
    await found(rows, FindingKind.UNKNOWN_PREDICTION, "wan", "3 not of our making")

    findings = await checked(idle_cli, "findings")

    assert findings["ok"] is True
    assert findings["detail"] == (
        "warning: 1 unknown_prediction, such as wan (3 not of our making):"
        " does another program use the provider's key?"
    )


async def test_a_sweep_that_no_worker_takes_ends_with_the_wait(idle_cli: Cli) -> None:
    ran = await idle_cli("sweep", "--timeout", "0.5")

    assert ran.code == 6
    assert "says whether a worker runs" in ran.err


async def test_another_namespace_is_accepted_only_where_that_is_asked_for(
    rows: Stack, idle_cli: Cli
) -> None:
    count = "SELECT count(*) FROM deployment WHERE name = 'temporal_namespace'"
    await rows.database.execute(
        "INSERT INTO deployment (name, value) VALUES ('temporal_namespace', 'default (lost)')"
    )

    await idle_cli("sweep", "--timeout", "0.5")
    kept = await rows.database.fetchval(count)
    await idle_cli("sweep", "--timeout", "0.5", "--accept-namespace")

    assert kept == 1
    assert await rows.database.fetchval(count) == 0


async def test_a_sweep_counts_what_it_mended_and_found(cli: Cli) -> None:
    ran = await cli("sweep", "-o", "json")

    assert ran.code == 0, ran
    assert ran.json.keys() == {"repaired", "found", "failed"}
    assert ran.json["failed"] == {}


def test_every_kind_of_finding_says_what_to_do() -> None:
    assert REMEDIES.keys() == set(FindingKind)

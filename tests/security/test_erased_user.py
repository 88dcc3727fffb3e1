"""After `users erase` nothing of a user is left but amounts; everybody else keeps everything.

One stack with a worker: each user makes what leaves the most behind, then some are erased.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from stacks import COFFEE, SMALL, Stack, at_stage, finished, running_dev, until

from starter import GenerationHandle, VideoClient
from tests.security.persons import (
    SUMS,
    Person,
    a_person_with_a_video,
    a_person_with_everything,
    erased,
    nothing_left,
    owner_of,
    traces_of,
)
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.stages import Stage

pytestmark = [pytest.mark.slow, pytest.mark.tools()]  # Python only, and a minute of it.


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    # Not pytest's folder: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="sm-era-") as folder:
        data_dir = Path(folder) / "stack"
        async with AsyncExitStack() as opened:
            _, address = await opened.enter_async_context(
                running_dev(data_dir, "--no-workers", "--sandbox-work-s=0.2")
            )
            client = await opened.enter_async_context(await VideoClient.connect(data_dir))
            stack = Stack(data_dir, address, client)
            await stack.cli("callbacks", "secret", "podcast_maker")
            await opened.enter_async_context(stack.worker())
            yield stack


def files_of(stack: Stack) -> list[Path]:
    media = Path(stack.address.media.removeprefix("file://"))
    return sorted(path for path in media.rglob("*") if path.is_file())


async def test_nothing_of_an_erased_user_is_left_and_everybody_elses_is(stack: Stack) -> None:
    gone, stays = await a_person_with_everything(stack), await a_person_with_a_video(stack)
    before = await stack.rows(SUMS.format("ledger")) + await stack.rows(SUMS.format("balances"))
    theirs_before = await traces_of(stack, stays)
    assert await traces_of(stack, gone) != []

    told = await erased(stack, gone)

    await until(lambda: nothing_left(stack, gone), 20)
    after = await stack.rows(SUMS.format("ledger")) + await stack.rows(SUMS.format("balances"))
    assert after == before
    assert sorted(await traces_of(stack, stays)) == sorted(theirs_before)
    assert told["pseudonym"].startswith("erased_")
    counts = told["counts"]
    assert (counts["generations"], counts["batches"], counts["plans"]) == (5, 1, 1)
    assert counts["assets"] == 3
    assert counts["predictions"] == 4
    assert counts["histories"] >= 7
    assert counts["files"] >= 8
    assert any("Backups" in each for each in told["remains"])
    await _the_books_are_right(stack, told["pseudonym"])
    await _no_text_is_left(stack, gone)
    await _predictions_are_gone(stack, gone)
    await _the_keys_are_used_and_anew_is_allowed(stack, gone)


async def _the_books_are_right(stack: Stack, pseudonym: str) -> None:
    """The sweeper finds nothing, and the amounts stand under the pseudonym."""
    code, out, err = await stack.cli("sweep", "-o", "json")
    assert code == 0, err
    assert json.loads(out)["found"] == {}
    code, out, _ = await stack.cli("usage", pseudonym, "-o", "json")
    assert (code, json.loads(out)["videos_settled"]) == (0, 3)
    for verb in ("list", "batches list", "assets list", "callbacks list"):
        code, _, err = await stack.cli(*verb.split(), "-o", "json")
        assert code == 0, err
    record = await stack.rows(
        "SELECT pseudonym, counts FROM erasures WHERE pseudonym = $1", pseudonym
    )
    assert len(record) == 1


LEFT = """
SELECT 'submission', generation_id FROM submissions
WHERE generation_id = ANY ($1::text[]) AND (payload IS NOT NULL OR NOT starts_with(staged_url, 'erased:'))
UNION ALL
SELECT 'attempt', generation_id FROM submission_attempts WHERE generation_id = ANY ($1::text[]) AND evidence <> ''
UNION ALL
SELECT 'event', generation_id FROM events WHERE generation_id = ANY ($1::text[]) AND data <> '{}'
UNION ALL
SELECT 'callback', generation_id FROM callbacks WHERE generation_id = ANY ($1::text[])
UNION ALL
SELECT 'generation', generation_id FROM generations
WHERE generation_id = ANY ($1::text[])
  AND (prompt IS NOT NULL OR request_hash <> '' OR runs <> '{}' OR warnings <> '{}' OR failure->>'message' <> 'Erased.')
"""  # noqa: E501 - SQL
"""What may hold a user's words, though this one's don't happen to be there."""


async def _no_text_is_left(stack: Stack, person: Person) -> None:
    assert await stack.rows(LEFT, person.generations) == []


async def _predictions_are_gone(stack: Stack, person: Person) -> None:
    log = json.dumps(await stack.log())
    left = await stack.rows(
        "SELECT prediction_id FROM submissions WHERE generation_id = ANY ($1::text[])",
        person.generations,
    )
    statuses = {row["id"]: row["status"] for row in json.loads(log)["predictions"]}
    assert {statuses.get(each, "deleted") for (each,) in left} == {"deleted"}


async def _the_keys_are_used_and_anew_is_allowed(stack: Stack, person: Person) -> None:
    submits = (await stack.log())["submits"]

    with pytest.raises(RequestRefused) as told:
        await stack.start(
            f"{person.mark} rises", user_id=person.id, idempotency_key=f"key-{person.mark}"
        )
    with pytest.raises(RequestRefused) as told_of_batch:
        await stack.client.batch(
            [{"operation": "image-to-video", "image": COFFEE, "prompt": "anew"}],
            user_id=person.id,
            idempotency_key=f"batch-{person.mark}",
        )

    assert told.value.failure.kind is FailureKind.KEY_REUSED
    assert told_of_batch.value.failure.kind is FailureKind.KEY_REUSED
    assert (await stack.log())["submits"] == submits
    anew = await stack.start("anew", user_id=person.id)
    assert (await finished(anew)).user_id == person.id


async def test_while_anything_runs_nothing_is_erased_and_the_way_to_end_it_is_told(
    stack: Stack,
) -> None:
    person = Person()
    await stack.faults({"output": SMALL, "job": {"kind": "hang", "match": person.mark}})
    running: GenerationHandle = await stack.start(person.mark, user_id=person.id)
    await at_stage(running, Stage.GENERATING)

    code, _, err = await stack.cli("users", "erase", person.id, "--yes", "-o", "human")

    assert code == 1
    assert f"stillmotion cancel {running.id}" in err
    assert "Nothing was erased or charged" in err
    assert await stack.value("SELECT prompt FROM generations WHERE user_id = $1", person.id)
    await running.cancel()
    await at_stage(running, Stage.CANCELLED)


async def test_whoever_is_killed_before_the_rows_go_erases_the_rest_the_next_time(
    stack: Stack,
) -> None:
    person = await a_person_with_a_video(stack)
    owner = await owner_of(stack, person.id)
    argv = ("-m", "starter.cli", "users", "erase", person.id, "--yes")

    async with stack.locked("generations"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, *argv, f"--data-dir={stack.data_dir}", env=dict(os.environ)
        )
        await until(lambda: _files_gone(stack, owner))
        process.send_signal(signal.SIGKILL)
        await process.wait()
    half_way = await traces_of(stack, person)
    told = await erased(stack, person)

    assert any("generations.user_id" in each for each in half_way)
    assert told["counts"]["generations"] == 1
    await until(lambda: nothing_left(stack, person), 20)


async def _files_gone(stack: Stack, owner: str) -> bool:
    return not any(owner in str(path) for path in files_of(stack))


async def test_erasing_again_finds_nothing_and_records_nothing(stack: Stack) -> None:
    person = Person()
    before = await stack.value("SELECT count(*) FROM erasures")

    told = await erased(stack, person)

    assert told["pseudonym"] is None
    assert await stack.value("SELECT count(*) FROM erasures") == before


async def test_nobody_is_erased_without_a_yes_or_by_the_starters_role(stack: Stack) -> None:
    person = Person()
    await stack.cli("plans", "assign", person.id, "pro")

    code, _, err = await stack.cli("users", "erase", person.id, "-o", "human")
    role = "&options=-c%20role%3Dstillmotion_starter"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starter.cli", "users", "erase", person.id, "--yes"),
        env=dict(os.environ)
        | {
            "STILLMOTION_DATABASE_URL": stack.address.database + role,
            "STILLMOTION_MEDIA_URL": stack.address.media,
            "TEMPORAL_ADDRESS": stack.address.temporal,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()

    assert (code, process.returncode) == (2, 2)
    assert "--yes: missing" in err
    assert "needs the owner's STILLMOTION_DATABASE_URL" in said.decode()
    assert await stack.value("SELECT plan FROM subscriptions WHERE user_id = $1", person.id)

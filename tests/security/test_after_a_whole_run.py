"""A whole run with secrets that can be recognised, and a search of everything that it leaves.

A secret may stand nowhere but where it must: `submissions.staged_url` without its query, the sealed
secrets of callbacks, and the deployment's hash key. What a caller put into a request, such as a
token in a callback's address, stands where requests do. Nobody else reads or steers any of it.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stacks import until

from starter import GenerationHandle
from starter.cli.saving import checked, save
from tests.security.traces import columns_of, found_in, histories_of
from tests.security.whole_run import HOSTILE_ID, Run, secret_settings, whole_run
from workers.stack import environment_of

pytestmark = pytest.mark.slow

REQUESTS = ("generations.request", "batch_items.request")
"""The columns in which requests stand."""


@pytest.fixture(scope="module")
async def run() -> AsyncIterator[Run]:
    # Not pytest's folder: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="sm-sec-") as folder:
        async with whole_run(Path(folder)) as everything:
            yield everything


async def test_no_history_holds_a_secret_a_signed_address_or_media(run: Run) -> None:
    async def all_listed() -> dict[str, list[str]] | None:
        # Temporal's lists lag a little.
        found = await histories_of(run.stack)
        ids = " ".join(found)
        return found if all(each in ids for each in run.generation_ids) else None

    histories = await until(all_listed)

    origin = run.stack.address.provider.removesuffix("/api/v3")
    forbidden = run.secrets | {"a staged address": f"{origin}/media/"}
    assert found_in(histories, forbidden) == []
    # A check that finds nothing anywhere is none: requests are there to be found.
    assert found_in(histories, run.parts_of_requests) != []


async def test_what_a_caller_put_into_a_request_stands_in_requests_alone(run: Run) -> None:
    others = {
        name: [text for text in texts if '"callback_url"' not in text and '"prompt"' not in text]
        for name, texts in (await histories_of(run.stack)).items()
    }

    assert found_in(others, run.parts_of_requests) == []


async def test_no_log_holds_a_secret_or_what_a_caller_put_into_a_request(run: Run) -> None:
    logs = {name: text.splitlines() for name, text in run.logs.items()}

    assert {"worker.log", "second.log", "api.log"} <= set(logs)
    assert found_in(logs, run.secrets | run.parts_of_requests) == []
    assert "working" in run.logs["worker.log"]


async def test_every_line_of_a_workers_log_is_an_event_of_ours(run: Run) -> None:
    lines = run.logs["worker.log"].splitlines()

    assert all(json.loads(line)["event"] for line in lines)
    assert "forged" not in "".join(line for line in lines if not line.startswith("{"))
    assert all(line.isprintable() for line in run.logs["second.log"].splitlines())


async def test_no_column_holds_a_secret(run: Run) -> None:
    columns = await columns_of(run.stack)

    del columns["deployment.value"]
    others = {name: rows for name, rows in columns.items() if name not in REQUESTS}
    assert len(columns) > 100
    assert found_in(columns, run.secrets) == []
    assert found_in(others, run.parts_of_requests) == []
    assert columns["submissions.staged_url"]
    assert all("?" not in url for url in columns["submissions.staged_url"])


async def test_a_submissions_body_is_dropped_once_its_outcome_is_known(run: Run) -> None:
    open_ones = await run.stack.rows(
        "SELECT state, generation_id FROM submissions WHERE payload IS NOT NULL"
    )
    ended = await run.stack.value("SELECT count(*) FROM submissions WHERE payload IS NULL")

    assert open_ones == []
    assert ended >= len(run.completed)


async def test_no_verb_prints_a_secret_or_steers_the_terminal(run: Run) -> None:
    verbs = [
        *(("show", each) for each in run.generation_ids),
        *(("watch", each) for each in run.generation_ids[:1]),
        *(("list",), ("assets", "list"), ("assets", "search", "x"), ("callbacks", "list")),
        *(("batches", "list"), ("usage", "ann"), ("doctor",), ("doctor", "--settings")),
    ]
    said: dict[str, list[str]] = {}
    for verb in verbs:
        for mode in ("human", "json"):
            code, out, err = await run.stack.cli(*verb, "-o", mode)
            assert code in {0, 3, 6} or verb[0] == "watch", (verb, err)
            said[f"{verb} {mode}"] = [out, err]

    assert found_in(said, run.secrets | run.parts_of_requests) == []
    assert "A cat" in "".join(said["('assets', 'list') human"])
    letters = {c for texts in said.values() for text in texts for c in text}
    assert {c for c in letters if not c.isprintable() and c != "\n"} == set()


async def test_doctor_with_every_secret_in_its_environment_tells_none(run: Run) -> None:
    env = environment_of(run.stack.address) | secret_settings(run.stack)
    said: dict[str, list[str]] = {}
    for words in (("doctor",), ("doctor", "--settings"), ("doctor", "-o", "json")):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "starter.cli", *words),
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        said[str(words)] = [out.decode(), err.decode()]

    assert "STILLMOTION_DATABASE_URL" in said[str(("doctor", "--settings"))][0]
    assert found_in(said, run.secrets) == []


async def test_a_video_under_a_hostile_id_lies_and_is_saved_where_all_do(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    hostile = run.completed[-1]
    assert hostile.id == HOSTILE_ID

    saved = await save(hostile, checked(folder))

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [saved]
    media = Path(run.stack.address.media.removeprefix("file://"))
    kept = (await hostile.read_generation()).file_path
    assert kept is not None
    assert Path(kept).resolve().is_relative_to(media.resolve())


async def test_to_another_user_every_verb_says_the_same_of_what_is_anothers_and_of_what_is_not(
    run: Run,
) -> None:
    real, made_up = run.completed[0].id, "gen_" + "a" * 26
    asset = (await run.completed[0].read_generation()).asset_id
    batch = (await run.stack.rows("SELECT batch_id FROM batches"))[0][0]
    assert asset is not None
    pairs = [
        *((verb, real, made_up) for verb in (("show",), ("watch",), ("resume",), ("cancel",))),
        *((verb, real, made_up) for verb in (("download",), ("open",), ("callbacks", "retry"))),
        *((("resolve", "--give-up"), real, made_up),),
        *((("assets", verb), asset, "ast_" + "a" * 26) for verb in ("show", "delete")),
        *(
            (("batches", verb), batch, "bat_" + "a" * 26)
            for verb in ("show", "watch", "resume", "cancel")
        ),
    ]

    for verb, theirs, nobodys in pairs:
        told = [
            await run.stack.cli(*verb, each, "--user", "eve", "-o", "human")
            for each in (theirs, nobodys)
        ]
        (code, out, err), (_, _, unknown) = told
        assert (code, out) == (2, ""), (verb, err)
        assert err.replace(theirs, "ID") == unknown.replace(nobodys, "ID"), verb


async def test_to_another_user_every_call_of_the_client_finds_nothing(run: Run) -> None:
    client, theirs = run.stack.client, run.completed[0]
    forged = GenerationHandle(client, theirs.id, "eve")
    asset = (await theirs.read_generation()).asset_id
    assert asset is not None
    calls = [
        client.get(theirs.id, user_id="eve"),
        client.events(theirs.id, user_id="eve"),
        client.asset(asset, user_id="eve"),
        client.delete_asset(asset, user_id="eve"),
        forged.read_generation(),
        forged.progress(),
        forged.facts(),
        forged.read(),
        forged.resume(),
        forged.cancel(),
        forged.resolve("give_up"),
        forged.result(timeout=1),
    ]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [
        type(answer).__name__ for answer in answers if not isinstance(answer, LookupError)
    ] == []
    assert await client.generations(user_id="eve") == []
    assert await client.assets(user_id="eve") == []
    assert await client.callbacks.find(user_id="eve") == []
    assert await client.asset_key(theirs.id, user_id="eve") is None
    assert await theirs.read()

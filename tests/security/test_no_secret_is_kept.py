"""A whole run with secrets that can be recognised, and a search of everything that it leaves.

Each operation, a failed one, a parked one, one whose reply was lost, one under a hostile id, a
batch, callbacks and webhooks, on a real stack. Then every history, every log, every column of every
table and every verb's output is searched. A secret may stand nowhere but where it must:
`submissions.staged_url` without its query, the sealed secrets of callbacks, and the deployment's
hash key. A caller's own callback URL is part of the request and stands where requests do.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr
from stacks import (
    CHELSEA,
    COFFEE,
    HASTY,
    PORTRAIT,
    SMALL,
    SPEECH,
    Stack,
    at_stage,
    finished,
    impatient,
    running_dev,
    until,
)

from activities.callbacks.signing import Signers
from activities.database.pool import connect
from activities.database.settings import DatabaseSettings
from activities.provider.webhooks import token_of
from starter import GenerationHandle, VideoClient
from starter.cli.saving import checked, save
from tests.activities.callbacks.listening import Listener, listening
from tests.security.conftest import TRICKS
from workers.stack import environment_of
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage

pytestmark = pytest.mark.slow

SOURCE = Source.PODCAST_MAKER
PROVIDER_KEY = "ws-RECOGNISABLE-PROVIDER-KEY"
LLM_KEY = "sk-RECOGNISABLE-LLM-KEY"
DATABASE_PASSWORD = "pw-RECOGNISABLE-DATABASE"
CALLBACK_TOKEN = "tok-RECOGNISABLE-CALLBACK"
INPUT_SIGNATURE = "sig-RECOGNISABLE-INPUT"
HOSTILE_ID = f"../../{TRICKS['clears the screen']}{{0}} $(touch x)\n2026-01-01 [info] forged"
BEGINNING_BYTES = 24

COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
"""

WHERE_REQUESTS_STAND = {("generations", "request"), ("batch_items", "request")}


class Run(NamedTuple):
    """A stack after everything that can happen has happened on it."""

    stack: Stack
    logs: dict[str, str]
    secrets: dict[str, str]
    """What may stand nowhere, by what it is."""
    parts_of_requests: dict[str, str]
    """What a caller put into a request: it may stand where requests do, and nowhere else."""
    generation_ids: list[str]
    completed: list[GenerationHandle]


@pytest.fixture(scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    folder = tmp_path_factory.mktemp("logs")
    async with AsyncExitStack() as opened:
        # Not pytest's folder: a socket's path must be short.
        data_dir = opened.enter_context(_short_folder())
        _, address = await opened.enter_async_context(
            running_dev(data_dir, "--no-workers", "--sandbox-work-s=0.2")
        )
        client = await opened.enter_async_context(await VideoClient.connect(data_dir))
        stack = Stack(data_dir, address, client)
        listener = await opened.enter_async_context(listening())
        callback_secret = await _callback_secret(stack)
        origin = await opened.enter_async_context(_api(stack, folder / "api.log"))
        settings = _secret_settings(stack) | {"STILLMOTION_PUBLIC_URL": origin}
        async with _worker(stack, settings, folder / "worker.log"):
            completed, ended = await _everything_but_parked(stack, listener)
        patience = impatient(folder, scene_animation=1)
        async with _worker(
            stack,
            settings | patience | {"STILLMOTION_LOG_FORMAT": "console"},
            folder / "second.log",
        ):
            parked = await _parked(stack)
        handles = [*completed, *ended, parked]
        log_files = [*folder.glob("*.log"), *_logs_of(data_dir)]
        yield Run(
            stack,
            {path.name: path.read_text("utf-8", "replace") for path in log_files},
            await _secrets(stack, callback_secret, handles),
            {"a callback's token": CALLBACK_TOKEN, "an input's signature": INPUT_SIGNATURE},
            [handle.id for handle in handles],
            completed,
        )


def _short_folder():  # noqa: ANN202 - a context manager of a path
    import tempfile
    from contextlib import contextmanager

    @contextmanager
    def opened() -> Any:
        with tempfile.TemporaryDirectory(prefix="sm-sec-") as folder:
            yield Path(folder)

    return opened()


def _logs_of(data_dir: Path) -> list[Path]:
    """What the servers of the stack wrote. The sandbox is the provider: its log is not ours."""
    return [path for path in data_dir.rglob("*.log") if "sandbox" not in path.name]


def _secret_settings(stack: Stack) -> dict[str, str]:
    database = stack.address.database
    return {
        "WAVESPEED_API_KEY": PROVIDER_KEY,
        "OPENAI_API_KEY": LLM_KEY,
        # The embedded server trusts its socket and takes any password.
        "STILLMOTION_DATABASE_URL": f"{database}&password={DATABASE_PASSWORD}",
        "STILLMOTION_LOG_FORMAT": "json",
    }


async def _callback_secret(stack: Stack) -> str:
    settings = DatabaseSettings(
        database_url=SecretStr(stack.address.database), database_connections_max=2
    )
    async with connect(settings) as pool:
        return (await Signers(pool, stack.client.place.callbacks).make(SOURCE)).text


@asynccontextmanager
async def _process(
    *argv: str, env: Mapping[str, str], log: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *argv), env=env, stdout=asyncio.subprocess.PIPE, stderr=written
        )
    try:
        yield process
    finally:
        process.terminate()
        await process.communicate()


def _worker(stack: Stack, settings: Mapping[str, str], log: Path):  # noqa: ANN202 - as `_process`
    env = environment_of(stack.address) | HASTY | dict(settings)
    return _process("-m", "workers", "worker", env=env, log=log)


@asynccontextmanager
async def _api(stack: Stack, log: Path) -> AsyncGenerator[str]:
    argv = ("-m", "starter.api", "--json", "--port=0", f"--data-dir={stack.data_dir}")
    async with _process(*argv, env=os.environ, log=log) as process:
        assert process.stdout is not None
        yield json.loads(await process.stdout.readline())["api"]


async def _everything_but_parked(
    stack: Stack, listener: Listener
) -> tuple[list[GenerationHandle], list[GenerationHandle]]:
    """What is completed, and what has ended otherwise."""
    words = f"key {PROVIDER_KEY} at https://cdn.test/a?signature=1{TRICKS['sets the title']}"
    await stack.faults(
        {
            "output": SMALL,
            "job": {"kind": "failed", "message": words, "match": "fail this"},
            "submit": {"kind": "lost_reply", "match": "lose this", "times": 1},
            "poll": {"kind": "status", "code": 503, "message": words, "times": 3},
            "upload": {"kind": "status", "code": 500, "message": words, "times": 1},
        }
    )
    url = listener.url.replace("t0k3n", CALLBACK_TOKEN)
    told = await stack.start(callback_url=url, source=SOURCE)
    scene, avatar, lost = await stack.animate(), await stack.speak(), await stack.start("lose this")
    failed = await stack.start("fail this", callback_url=url, source=SOURCE)
    refused = await stack.client.image_to_video(
        f"https://127.0.0.1/a.jpg?X-Signature={INPUT_SIGNATURE}", "x", user_id="ann"
    )
    hostile = await _wire(stack, HOSTILE_ID)
    batch = await stack.client.batch(
        [{"operation": "image-to-video", "image": COFFEE, "prompt": "x", "callback_url": url}] * 1,
        user_id="cy",
        source=SOURCE,
    )
    completed = [told, scene, avatar, lost, hostile]
    await asyncio.gather(*(finished(handle) for handle in completed))
    await asyncio.gather(*(at_stage(handle, Stage.FAILED) for handle in (failed, refused)))
    await batch.result(timeout=60)
    await until(lambda: _all_told(stack))
    return completed, [failed, refused]


async def _wire(stack: Stack, generation_id: str) -> GenerationHandle:
    """A start by somebody who has only Temporal, under an id of their own."""
    media_id = await stack.client.upload(COFFEE, user_id="wire")
    request = {"user_id": "wire", "image": {"media_id": media_id}, "prompt": TRICKS["bidi"] + "x"}
    await stack.client.temporal.start_workflow(
        "ImageToVideo", request, id=generation_id, task_queue=stack.address.task_queue
    )
    return await until(lambda: _found(stack, generation_id))


async def _found(stack: Stack, generation_id: str) -> GenerationHandle | None:
    try:
        return await stack.client.get(generation_id)
    except LookupError:
        return None


async def _all_told(stack: Stack) -> bool:
    return not await stack.value("SELECT count(*) FROM callbacks WHERE state = 'delivering'")


async def _parked(stack: Stack) -> GenerationHandle:
    await stack.faults({"job": {"kind": "hang"}})
    parked = await stack.animate("It hangs")
    await at_stage(parked, Stage.TIMED_OUT)
    return parked


async def _secrets(
    stack: Stack, callback_secret: str, handles: list[GenerationHandle]
) -> dict[str, str]:
    hash_key = await stack.value("SELECT value FROM deployment WHERE name = 'hash_key'")
    origin = stack.address.provider.removesuffix("/api/v3")
    async with httpx.AsyncClient(trust_env=False) as http:
        headers = {"Authorization": f"Bearer {PROVIDER_KEY}"}
        reply = await http.get(f"{stack.address.provider}/webhook/secret", headers=headers)
    assert stack.address.secret_key_file is not None
    return {
        "the provider's key": PROVIDER_KEY,
        "the LLM's key": LLM_KEY,
        "the database's password": DATABASE_PASSWORD,
        "the webhooks' secret": reply.json()["data"]["secret"].removeprefix("whsec_"),
        "a callback's secret": callback_secret.removeprefix("whsec_"),
        "the key of the secrets": Path(stack.address.secret_key_file).read_text().strip(),
        "a signed query": "signature=",
        "an output's address": f"{origin}/outputs/",
        "the hash key": hash_key,
        **{f"webhook token {n}": token_of(hash_key, each.id) for n, each in enumerate(handles)},
        **{
            f"the bytes of {path.name}": base64.b64encode(
                path.read_bytes()[:BEGINNING_BYTES]
            ).decode()
            for path in (COFFEE, CHELSEA, PORTRAIT, SPEECH)
        },
    }


# Histories


async def _history(stack: Stack, workflow_id: str, run_id: str) -> list[str]:
    """Every text of a workflow's history and description, payloads and their metadata decoded."""
    handle = stack.client.temporal.get_workflow_handle(workflow_id, run_id=run_id)
    events = [MessageToDict(event) async for event in handle.fetch_history_events()]
    described = MessageToDict((await handle.describe()).raw_description)
    return list(_texts([events, described]))


def _texts(value: Any) -> "list[str]":
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *_texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    if not isinstance(value, str):
        return []
    try:
        return [value, base64.b64decode(value, validate=True).decode("utf-8", "replace")]
    except ValueError:
        return [value]


async def _histories(stack: Stack) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    async for each in stack.client.temporal.list_workflows():
        found[f"{each.workflow_type} {each.id} {each.run_id}"] = await _history(
            stack, each.id, each.run_id
        )
    return found


async def test_no_history_holds_a_secret_a_signed_address_or_media(run: Run) -> None:
    async def all_listed() -> dict[str, list[str]] | None:
        # Temporal's lists lag a little.
        found = await _histories(run.stack)
        ids = " ".join(found)
        return found if all(each in ids for each in run.generation_ids) else None

    histories = await until(all_listed)

    origin = run.stack.address.provider.removesuffix("/api/v3")
    forbidden = run.secrets | {"a staged address": f"{origin}/media/"}
    assert _found_in(histories, forbidden) == []
    # A check that finds nothing anywhere is none: requests are there to be found.
    assert _found_in(histories, run.parts_of_requests) != []


async def test_what_a_caller_put_into_a_request_stands_in_requests_alone(run: Run) -> None:
    others = {
        name: [text for text in texts if '"callback_url"' not in text and '"prompt"' not in text]
        for name, texts in (await _histories(run.stack)).items()
    }

    assert _found_in(others, run.parts_of_requests) == []


def _found_in(places: Mapping[str, list[str]], secrets: Mapping[str, str]) -> list[str]:
    return [
        f"{what} in {place}: {text[:200]}"
        for place, texts in places.items()
        for text in texts
        for what, secret in secrets.items()
        if secret in text
    ]


# Logs


async def test_no_log_holds_a_secret_or_what_a_caller_put_into_a_request(run: Run) -> None:
    logs = {name: text.splitlines() for name, text in run.logs.items()}

    assert {"worker.log", "second.log", "api.log"} <= set(logs)
    assert _found_in(logs, run.secrets | run.parts_of_requests) == []
    assert "working" in run.logs["worker.log"]


async def test_every_line_of_a_workers_log_is_an_event_of_ours(run: Run) -> None:
    lines = run.logs["worker.log"].splitlines()

    assert all(json.loads(line)["event"] for line in lines)
    assert "forged" not in "".join(line for line in lines if not line.startswith("{"))
    assert all(line.isprintable() for line in run.logs["second.log"].splitlines())


# The database


async def test_no_column_holds_a_secret(run: Run) -> None:
    connection = await asyncpg.connect(run.stack.address.database)
    columns: dict[tuple[str, str], list[str]] = {}
    for table, column in await connection.fetch(COLUMNS):
        rows = await connection.fetch(f'SELECT "{column}"::text FROM "{table}"')
        columns[table, column] = [row[0] for row in rows if row[0] is not None]
    await connection.close()

    del columns["deployment", "value"]
    found = {f"{table}.{column}": rows for (table, column), rows in columns.items()}
    in_requests = {f"{table}.{column}" for table, column in WHERE_REQUESTS_STAND}
    others = {name: rows for name, rows in found.items() if name not in in_requests}
    assert len(found) > 100
    assert _found_in(found, run.secrets) == []
    assert _found_in(others, run.parts_of_requests) == []
    assert all("?" not in url for url in found["submissions.staged_url"])
    assert found["submissions.staged_url"]


async def test_a_submissions_body_is_dropped_once_its_outcome_is_known(run: Run) -> None:
    open_ones = await run.stack.rows(
        "SELECT state, generation_id FROM submissions WHERE payload IS NOT NULL"
    )
    ended = await run.stack.value("SELECT count(*) FROM submissions WHERE payload IS NULL")

    assert open_ones == []
    assert ended >= len(run.completed)


# What people see


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

    assert _found_in(said, run.secrets | run.parts_of_requests) == []
    letters = {c for texts in said.values() for text in texts for c in text}
    assert {c for c in letters if not c.isprintable() and c != "\n"} == set()


async def test_doctor_with_every_secret_in_its_environment_tells_none(run: Run) -> None:
    env = environment_of(run.stack.address) | _secret_settings(run.stack)
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
    assert _found_in(said, run.secrets) == []


# Names and owners


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

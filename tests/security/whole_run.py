"""A real stack on which everything happens once, with secrets that can be recognised.

Each operation, a failed one, a parked one, one whose reply was lost, one under a hostile id, a
batch, callbacks and webhooks.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
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
from tests.activities.callbacks.listening import Listener, listening
from tests.security.conftest import TRICKS
from workers.stack import environment_of
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage

SOURCE = Source.PODCAST_MAKER
PROVIDER_KEY = "ws-RECOGNISABLE-PROVIDER-KEY"
LLM_KEY = "sk-RECOGNISABLE-LLM-KEY"
DATABASE_PASSWORD = "pw-RECOGNISABLE-DATABASE"
CALLBACK_TOKEN = "tok-RECOGNISABLE-CALLBACK"
INPUT_SIGNATURE = "sig-RECOGNISABLE-INPUT"
HOSTILE_ID = f"../../{TRICKS['clears the screen']}{{0}} $(touch x)\n2026-01-01 [info] forged"
BEGINNING_BYTES = 24


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


@asynccontextmanager
async def whole_run(folder: Path) -> AsyncGenerator[Run]:
    """Have everything happen on a stack in `folder`, which has a short path; then read its logs."""
    data_dir = folder / "stack"
    async with AsyncExitStack() as opened:
        _, address = await opened.enter_async_context(
            running_dev(data_dir, "--no-workers", "--sandbox-work-s=0.2")
        )
        client = await opened.enter_async_context(await VideoClient.connect(data_dir))
        stack = Stack(data_dir, address, client)
        listener = await opened.enter_async_context(listening())
        callback_secret = await _callback_secret(stack)
        origin = await opened.enter_async_context(_api(stack, folder / "api.log"))
        settings = secret_settings(stack) | {"STILLMOTION_PUBLIC_URL": origin}
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


def _logs_of(data_dir: Path) -> list[Path]:
    """What the servers of the stack wrote. The sandbox is the provider: its log is not ours."""
    return [path for path in data_dir.rglob("*.log") if "sandbox" not in path.name]


def secret_settings(stack: Stack) -> dict[str, str]:
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


def _worker(
    stack: Stack, settings: Mapping[str, str], log: Path
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
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
    scene = await stack.animate("A cat" + "".join(TRICKS.values()))
    avatar, lost = await stack.speak(), await stack.start("lose this")
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

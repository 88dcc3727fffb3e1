"""With keys given, nothing in Temporal can be read without them; and they are changed in mid-run.

One stack: everything happens on it once, encrypted; then its keys are rotated, taken from a worker,
and turned off. The last is the proof that the search finds what is there to be found.
"""

import asyncio
import base64
import json
import os
import re
import sysconfig
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from stacks import (
    CHELSEA,
    COFFEE,
    HASTY,
    SMALL,
    Stack,
    at_stage,
    finished,
    running,
    running_dev,
    until,
    without,
)
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError

from starter import GenerationHandle, VideoClient
from workers.stack import environment_of
from workflows.contracts.failures import FailureKind
from workflows.contracts.payloads import ENCRYPTED
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stages import Stage

pytestmark = pytest.mark.slow

FIRST, SECOND = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
TOKEN = "a-token-of-the-codec-server"
USER = "user-recognisable"
WORDS = {
    "a prompt": "a lighthouse RECOGNISABLE in the fog",
    "a negative prompt": "no RECOGNISABLE ships",
    "a scene": "The RECOGNISABLE cat looks up",
    "a story": "It waits for RECOGNISABLE rain",
    "a user": USER,
    "a file": "coffee.jpg",
    "an address": "recognisable.example",
}
"""What may stand nowhere in Temporal, by what it is."""


SUBMITS = ("-m", "workers", "worker", "--queues", TaskQueue.SUBMIT.value)


class Run(NamedTuple):
    stack: Stack
    generations: list[str]
    raw: dict[str, bytes]
    """What Temporal kept of them, and of whatever they started."""


@pytest.fixture(scope="module")
async def run() -> AsyncIterator[Run]:
    # Not pytest's folder: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="sm-enc-") as folder:
        data_dir = Path(folder) / "stack"
        async with AsyncExitStack() as opened:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("STILLMOTION_PAYLOAD_KEYS", f"k1:{FIRST}")
                _, address = await opened.enter_async_context(
                    running_dev(data_dir, "--no-workers", "--sandbox-work-s=0.2")
                )
            client = await opened.enter_async_context(await VideoClient.connect(data_dir))
            stack = Stack(data_dir, address, client)
            async with stack.worker(*without(TaskQueue.SUBMIT)):
                async with stack.worker(*SUBMITS):
                    generations = await _everything(stack)
                yield Run(stack, generations, await _all_raw(stack, generations))


async def _everything(stack: Stack) -> list[str]:
    """Each operation, and each way to end without a video; the ids."""
    await stack.faults(
        {
            "output": SMALL,
            "job": [
                {"kind": "failed", "match": "fail this"},
                {"kind": "hang", "match": "hang here"},
            ],
        }
    )
    mine: dict[str, Any] = {"user_id": USER}
    video = await stack.start(WORDS["a prompt"], **mine, negative_prompt=WORDS["a negative prompt"])
    scene = await stack.client.animate_scene(
        CHELSEA, {"title": WORDS["a scene"]}, {"plot": WORDS["a story"]}, **mine
    )
    avatar = await stack.speak(WORDS["a prompt"], user_id="other-recognisable")
    failed = await stack.start("fail this", user_id="third-recognisable")
    hanging = await stack.start("hang here", user_id="third-recognisable")
    batch = await stack.client.batch(
        [{"operation": "image-to-video", "image": COFFEE, "prompt": WORDS["a prompt"]}] * 2,
        user_id="fourth-recognisable",
    )
    refused = await _refused(stack)
    await asyncio.gather(*(finished(each) for each in (video, scene, avatar)))
    await at_stage(hanging, Stage.GENERATING)
    await hanging.cancel()
    await at_stage(hanging, Stage.CANCELLED)
    await at_stage(failed, Stage.FAILED)
    await batch.result(timeout=60)
    return [each.id for each in (video, scene, avatar, failed, hanging)] + [batch.id, refused]


async def _refused(stack: Stack) -> str:
    """A wire caller's bad input: its words come back in the refusal, for who has the key."""
    wish = {"user_id": USER, "image": {"url": f"https://{WORDS['an address']}/coffee.jpg"}}
    handle = await stack.client.temporal.start_workflow(
        "ImageToVideo",
        wish | {"prompt": WORDS["a prompt"], "resolution": "recognisable.example"},
        id="wire-1",
        task_queue=stack.address.task_queue,
    )
    with pytest.raises(WorkflowFailureError) as told:
        await handle.result()
    assert "resolution" in str(told.value.cause)
    return handle.id


async def _raw(stack: Stack, workflow_id: str) -> bytes:
    """All that Temporal keeps and tells of a workflow: histories, description, list entry."""
    parts: list[bytes] = []
    async for each in stack.client.temporal.list_workflows(f"WorkflowId = '{workflow_id}'"):
        parts.append(each.raw_info.SerializeToString())
        handle = stack.client.temporal.get_workflow_handle(each.id, run_id=each.run_id)
        parts += [e.SerializeToString() async for e in handle.fetch_history_events()]
        parts.append((await handle.describe()).raw_description.SerializeToString())
    return b"\n".join(parts)


async def _all_raw(stack: Stack, wanted: list[str]) -> dict[str, bytes]:
    """The same of every workflow that Temporal lists, once it lists the `wanted` as ended."""
    async with asyncio.timeout(30):
        while True:
            listed = [each async for each in stack.client.temporal.list_workflows()]
            ended = {e.id for e in listed if e.status is not WorkflowExecutionStatus.RUNNING}
            if ended.issuperset(wanted):
                return {each.id: await _raw(stack, each.id) for each in listed}
            await asyncio.sleep(0.1)


def _found(raw: dict[str, bytes]) -> set[str]:
    return {
        f"{what} in {workflow_id}"
        for workflow_id, kept in raw.items()
        for what, words in WORDS.items()
        if words.encode() in kept or base64.b64encode(words.encode()).strip(b"=") in kept
    }


def _rewrite(stack: Stack, keys: str) -> None:
    assert stack.address.payload_keys_file is not None
    path = Path(stack.address.payload_keys_file)
    aside = path.with_suffix(".aside")
    aside.write_text(keys)
    aside.replace(path)


async def _key_ids(stack: Stack, workflow_id: str) -> list[str]:
    """The ids of the keys that its payloads name, in their order."""
    handle = stack.client.temporal.get_workflow_handle(workflow_id)
    history = (await handle.fetch_history()).to_json_dict()
    text = json.dumps(history)
    named = [part.split('"')[0] for part in text.split('"encryption-key-id": "')[1:]]
    return [base64.b64decode(each).decode() for each in named]


async def test_nothing_that_temporal_keeps_can_be_read(run: Run) -> None:
    assert len(run.raw) >= len(run.generations) + 2
    assert _found(run.raw) == set()
    # The field that the refusal names.
    assert b"resolution" not in run.raw["wire-1"]
    assert b"quota check" not in b"".join(run.raw.values())
    assert all(b"binary/encrypted" in kept for kept in run.raw.values())


async def test_with_the_keys_everything_is_read_as_ever(run: Run) -> None:
    stack, (video, *_, refused) = run.stack, run.generations
    handle = stack.client.temporal.get_workflow_handle(video)

    summary = await (await handle.describe()).static_summary()
    result = await handle.result()
    with pytest.raises(WorkflowFailureError) as told:
        await stack.client.temporal.get_workflow_handle(refused).result()
    facts = await (await stack.client.get(video)).facts()

    assert WORDS["a prompt"] in (summary or "")
    assert result["generation_id"] == video
    assert "resolution" in str(told.value.cause)
    assert facts.stage is Stage.COMPLETED


@asynccontextmanager
async def _codec_server(stack: Stack, *flags: str, **given: str) -> AsyncGenerator[str]:
    argv = ("-m", "workers", "codec-server", "--port=0", "--json", f"--data-dir={stack.data_dir}")
    async with running(*argv, *flags, env=dict(os.environ) | given) as server:
        assert server.process.stdout is not None
        yield json.loads(await server.process.stdout.readline())["codec_server"]


async def _shown(stack: Stack, workflow_id: str, *flags: str) -> str:
    """What Temporal's own command line shows of a history."""
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    process = await asyncio.create_subprocess_exec(
        *(program, "workflow", "show", "--workflow-id", workflow_id, "--output", "json"),
        *("--address", stack.address.temporal, *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"HOME": str(stack.data_dir)},
    )
    out, _ = await process.communicate()
    told = out.decode()
    data = re.findall(r'"data": "([A-Za-z0-9+/=]+)"', told)
    return told + "".join(base64.b64decode(each).decode("utf-8", "replace") for each in data)


async def test_the_codec_server_shows_a_prompt_to_who_has_its_token_only(run: Run) -> None:
    stack, video = run.stack, run.generations[0]

    async with _codec_server(stack, STILLMOTION_CODEC_TOKEN=TOKEN) as server:
        asking = ("--codec-endpoint", server)
        known = await _shown(stack, video, *asking, "--codec-auth", f"Bearer {TOKEN}")
        unknown = await _shown(stack, video, *asking, "--codec-auth", "Bearer another-token")
        without_it = await _shown(stack, video)

    assert WORDS["a prompt"] in known
    assert WORDS["a prompt"] not in unknown + without_it
    assert base64.b64encode(ENCRYPTED).decode() in without_it


async def test_the_web_ui_of_the_stack_may_ask_a_codec_server_beside_it(run: Run) -> None:
    ui = run.stack.address.temporal_ui
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-namespace",
    }

    async with _codec_server(run.stack) as server, httpx.AsyncClient(trust_env=False) as http:
        ours = await http.options(f"{server}/decode", headers={"Origin": ui} | preflight)
        others = await http.options(
            f"{server}/decode", headers={"Origin": "https://evil.example"} | preflight
        )

    assert ours.headers["access-control-allow-origin"] == ui
    assert "access-control-allow-origin" not in others.headers


async def test_generations_begun_under_one_key_finish_under_the_next(run: Run) -> None:
    stack = run.stack
    await stack.faults({"output": SMALL, "job": {"kind": "hang", "match": "hold on"}})
    _rewrite(stack, f"k1:{FIRST},k2:{SECOND}")
    async with stack.worker(*SUBMITS):
        begun = await stack.start("hold on")
        await at_stage(begun, Stage.GENERATING)

        _rewrite(stack, f"k2:{SECOND},k1:{FIRST}")
        fresh = await stack.start("under the next key")
        await stack.mend("job")
        await asyncio.gather(finished(begun), finished(fresh))

    before, after = await _key_ids(stack, begun.id), await _key_ids(stack, fresh.id)
    assert set(before) == {"k1", "k2"}
    assert set(after) == {"k2"}


async def test_a_worker_without_keys_fails_nothing_for_good(run: Run) -> None:
    stack = run.stack
    await stack.faults({"output": SMALL})
    _rewrite(stack, f"k1:{FIRST},k2:{SECOND}")

    async with running(*SUBMITS, env=_with_keys(stack)):
        waiting = await stack.start("for whoever can read it")
        facts = await until(lambda: _told(stack, waiting))
    async with stack.worker(*SUBMITS):
        await waiting.resume()
        await finished(waiting)

    assert facts.failure.kind is FailureKind.INPUT_UNREADABLE
    assert facts.stage is Stage.SUBMITTING
    assert len(await stack.predictions_of(waiting.id)) == 1


async def test_what_a_worker_with_another_key_wrote_is_read_once_all_have_it(run: Run) -> None:
    stack = run.stack
    await stack.faults({"output": SMALL})
    _rewrite(stack, f"k1:{FIRST},k2:{SECOND}")

    async with running(*SUBMITS, env=_with_keys(stack, f"other:{SECOND}")):
        waiting = await stack.start("for whoever can read it")
        await until(lambda: _names(stack, waiting, "other"))
    _rewrite(stack, f"k1:{FIRST},k2:{SECOND},other:{SECOND}")
    async with stack.worker(*SUBMITS):
        facts = await until(lambda: _told(stack, waiting))
        await waiting.resume()
        await finished(waiting)

    assert facts.failure.kind is FailureKind.INPUT_UNREADABLE
    assert len(await stack.predictions_of(waiting.id)) == 1


def _with_keys(stack: Stack, keys: str = "") -> dict[str, str]:
    """The environment of a worker that has these keys only."""
    env = environment_of(stack.address) | HASTY
    del env["STILLMOTION_PAYLOAD_KEYS_FILE"]
    return env | {"STILLMOTION_PAYLOAD_KEYS": keys}


async def _names(stack: Stack, handle: GenerationHandle, key_id: str) -> bool:
    return key_id in await _key_ids(stack, handle.id)


async def _told(stack: Stack, handle: GenerationHandle) -> ProgressFacts | None:
    """What its workflow knows, once that says why it waits."""
    workflow = stack.client.temporal.get_workflow_handle(handle.id)
    try:
        facts = await workflow.query("progress", result_type=ProgressFacts)
    except RPCError:
        # Its task fails for as long as a worker can't read what it brings.
        return None
    return facts if facts.failure is not None else None


async def test_once_turned_off_the_same_search_finds_everything(run: Run) -> None:
    stack = run.stack
    await stack.faults({"output": SMALL})

    _rewrite(stack, f"none,k2:{SECOND},k1:{FIRST}")
    async with stack.worker(*SUBMITS):
        plain = await stack.start(WORDS["a prompt"], user_id=f"{USER}-again")
        await finished(plain)
    found = _found({plain.id: await _raw(stack, plain.id)})

    assert {f"{what} in {plain.id}" for what in ("a prompt", "a user")} <= found
    assert (await stack.client.temporal.get_workflow_handle(run.generations[0]).result())[
        "asset_id"
    ]

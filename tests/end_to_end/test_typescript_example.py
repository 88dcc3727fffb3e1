"""The TypeScript example, installed and run as its README says, against a real stack.

Its types are made of docs/schemas. To accept a change of theirs, run this with UPDATE_GOLDEN=1.
"""

import asyncio
import json
import os
import re
import shutil
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from stacks import COFFEE, REPOSITORY, SMALL, Stack, a_user, finished, impatient

from tests.contracts import golden
from workflows.contracts.failures import RULES
from workflows.contracts.stages import Stage, Status

EXAMPLE = REPOSITORY / "examples" / "typescript"
INSTALL_S = 300
with_node = pytest.mark.tools("node")
patiently = pytest.mark.timeout(INSTALL_S + 120)
"""Whichever test comes first waits for the registry."""


class Ran(NamedTuple):
    """What a program did."""

    code: int | None
    out: str
    err: str

    @property
    def stages(self) -> list[str]:
        """Those that it told, in order."""
        return re.findall(r"^(\w+): ", self.err, re.MULTILINE)


class Backend:
    """A product's backend in TypeScript, with its packages."""

    def __init__(self, folder: Path, temporal: str) -> None:
        self.folder = folder
        self._env = os.environ | {"TEMPORAL_ADDRESS": temporal}

    @asynccontextmanager
    async def npm(self, *words: str) -> AsyncGenerator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *("npm", *words),
            cwd=self.folder,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def ran(self, *words: str) -> Ran:
        async with self.npm(*words) as process:
            return await ended(process)

    async def orders(self, order: str, user_id: str, media_id: str, **options: str) -> Ran:
        """Run the example to its end."""
        return await self.ran(*an_order(order, user_id, media_id, **options))


async def ended(process: asyncio.subprocess.Process) -> Ran:
    out, err = await asyncio.wait_for(process.communicate(), INSTALL_S)
    return Ran(process.returncode, out.decode(), err.decode())


def an_order(order: str, user_id: str, media_id: str, **options: str) -> list[str]:
    """The words after `npm`."""
    given = {"order": order, "user": user_id, "image": media_id, "prompt": "steam rises"} | options
    return ["start", "--silent", "--", *(f"--{name}={value}" for name, value in given.items())]


def workflow_id(order: str) -> str:
    return f"video-studio-order-{order}"


@pytest.fixture(scope="module")
async def backend(
    whole_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Backend]:
    """The example in a folder of its own, beside the schemas, installed from its lock."""
    root = tmp_path_factory.mktemp("typescript")
    folder = root / "examples" / "typescript"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "build"))
    (root / "docs").symlink_to(REPOSITORY / "docs")
    backend = Backend(folder, whole_stack.address.temporal)
    installed = await backend.ran("ci", "--ignore-scripts", "--no-audit", "--no-fund")
    assert installed.code == 0, installed.err
    yield backend
    shutil.rmtree(root)


@pytest.fixture
def order() -> str:
    """The number of an order that nobody made before."""
    return uuid.uuid4().hex[:8]


async def uploaded(stack: Stack, user_id: str) -> str:
    """The media id that the README's command prints."""
    code, out, said = await stack.cli("upload", str(COFFEE), "--user", user_id, "-o", "quiet")
    assert code == 0, said
    return out.strip()


@with_node
@patiently
async def test_a_video_is_started_by_type_name_followed_and_told(
    backend: Backend, stack: Stack, order: str
) -> None:
    user_id = a_user()
    media_id = await uploaded(stack, user_id)

    async with stack.worker():
        ran = await backend.orders(order, user_id, media_id)

    assert ran.code == 0, ran
    result = json.loads(ran.out)
    assert "generating" in ran.stages
    assert ran.stages == sorted(ran.stages, key=[stage.value for stage in Stage].index)
    handle = await stack.client.get(workflow_id(order))
    generation = await handle.read_generation()
    assert generation.status is Status.COMPLETED
    assert generation.source == "video_studio"
    shared = ("generation_id", "asset_id", "prediction_id", "sha256", "cost_usd_micros")
    assert {name: result[name] for name in shared} == generation.model_dump(include=set(shared))


@with_node
@patiently
async def test_an_order_that_is_run_again_is_the_same_video_without_a_worker(
    backend: Backend, stack: Stack, order: str
) -> None:
    user_id = a_user()
    media_id = await uploaded(stack, user_id)
    await stack.faults({"output": SMALL})
    async with stack.worker():
        first = await backend.orders(order, user_id, media_id)

    second = await backend.orders(order, user_id, media_id)

    assert (first.code, second.code) == (0, 0), (first, second)
    assert second.out == first.out
    assert len(await stack.predictions_of(workflow_id(order))) == 1


@with_node
@patiently
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"resolution": "4k"}, "invalid_request"),
        ({"image": "med_" + "z" * 26}, "invalid_media"),
    ],
    ids=["a size that there is none of", "a picture that there is none of"],
)
async def test_a_refusal_is_told_by_its_kind_its_money_and_what_to_do(
    backend: Backend, stack: Stack, order: str, options: dict[str, str], kind: str
) -> None:
    user_id = a_user()
    media_id = await uploaded(stack, user_id)

    async with stack.worker():
        ran = await backend.orders(order, user_id, media_id, **options)

    assert (ran.code, ran.out) == (2, "")
    *_, told, hint = ran.err.strip().splitlines()
    assert told.startswith(f"{kind}: ")
    assert told.endswith("Nothing was charged.")
    assert hint.endswith("start it again.")


@with_node
@patiently
async def test_what_waits_for_a_worker_is_told_and_a_cancel_is_told_with_its_money(
    backend: Backend, stack: Stack, order: str
) -> None:
    user_id = a_user()
    media_id = await uploaded(stack, user_id)
    workflow = stack.client.temporal.get_workflow_handle(workflow_id(order))

    async with backend.npm(*an_order(order, user_id, media_id)) as process:
        assert process.stderr is not None
        waits = await asyncio.wait_for(process.stderr.readline(), 60)
        await workflow.cancel()
        async with stack.worker():
            ran = await ended(process)

    assert waits == b"no worker answers; it waits\n"
    assert (ran.code, ran.out) == (5, "")
    released = "Nothing was charged. The $0.25 that was reserved is released."
    assert ran.err.splitlines()[-1] == f"cancelled: {released}"


@with_node
@patiently
async def test_what_is_parked_is_left_to_itself_with_its_reason(
    backend: Backend, stack: Stack, order: str, tmp_path: Path
) -> None:
    user_id = a_user()
    media_id = await uploaded(stack, user_id)
    await stack.faults({"job": {"kind": "hang"}})

    async with stack.worker(settings=impatient(tmp_path, image_to_video=1)):
        ran = await backend.orders(order, user_id, media_id)
        handle = await stack.client.get(workflow_id(order))
        await stack.faults({})
        await handle.resume()
        generation = await finished(handle)

    assert (ran.code, ran.out) == (6, "")
    assert "timed_out" in ran.stages
    assert "deadline_passed: " in ran.err
    assert generation.status is Status.COMPLETED


@with_node
@patiently
async def test_without_temporal_it_says_so(backend: Backend, order: str) -> None:
    nowhere = Backend(backend.folder, "127.0.0.1:9")

    ran = await nowhere.orders(order, "ann", "med_" + "a" * 26)

    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("Temporal is not reachable: ")


@with_node
@patiently
async def test_an_option_that_there_is_none_of_is_refused(backend: Backend) -> None:
    ran = await backend.orders("1", "ann", "med_" + "a" * 26, colour="blue")

    assert ran.code == 2
    assert "--colour" in ran.err


@with_node
@patiently
async def test_the_types_are_made_of_the_published_schemas(backend: Backend) -> None:
    schemas = {path.stem for path in (REPOSITORY / "docs" / "schemas").glob("*.json")}

    made = await backend.ran("run", "types")

    assert made.code == 0, made.err
    for name in schemas:
        text = (backend.folder / "contracts" / f"{name}.d.ts").read_text("utf-8")
        golden.check(EXAMPLE / "contracts" / f"{name}.d.ts", text)
    assert {path.name for path in (EXAMPLE / "contracts").iterdir()} == {
        f"{name}.d.ts" for name in schemas
    }


def test_the_example_exits_by_the_table_of_failures() -> None:
    text = (EXAMPLE / "image_to_video.ts").read_text("utf-8")
    (table,) = re.findall(r"EXIT_CODES: .+? = \{(.+?)\}", text, re.DOTALL)

    told = {kind: int(code) for kind, code in re.findall(r"(\w+): (\d)", table)}

    assert told == {
        kind.value: rule.exit_code for kind, rule in RULES.items() if rule.exit_code in {2, 3, 4}
    }


def test_the_example_takes_exact_versions_and_its_lock_names_no_registry() -> None:
    package: dict[str, Any] = json.loads((EXAMPLE / "package.json").read_text("utf-8"))
    lock = (EXAMPLE / "package-lock.json").read_text("utf-8")

    versions = {**package["dependencies"], **package["devDependencies"]}.values()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert '"resolved"' not in lock
    assert '"integrity"' in lock

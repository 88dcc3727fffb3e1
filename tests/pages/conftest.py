"""Stacks with their pages, and Node with what drives a browser over them."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from activities.database.pool import Pool
from activities.ledger.usage import assign_plan
from starter.api.parts import connected
from starter.client import VideoClient
from starter.places import find_place
from tests.starter.api.conftest import api_of
from tests.starter.api.holders import a_holder, owners_pool
from tests.starter.conftest import OURS, Stack, connected_to, running_stack
from workflows.contracts.requests import Source

HERE = Path(__file__).parent
SHOTS = os.environ.get("STILLMOTION_SCREENSHOTS", "")
"""A folder to keep pictures of every page in."""


class Person(NamedTuple):
    """A user whom nobody has seen, with a key for every product."""

    user: str
    secret: str


class Site(NamedTuple):
    """The pages of a running stack."""

    origin: str
    stack: Stack
    client: VideoClient
    owners: Pool

    async def person(self) -> Person:
        """Somebody who may sign in, and make thirty videos."""
        user = f"user-{secrets.token_hex(6)}"
        holder = await a_holder(self.owners, sources=list(Source), user_id=user)
        async with self.owners.acquire() as connection:
            await assign_plan(connection, user, "pro")
        return Person(user, holder.secret)


@asynccontextmanager
async def a_site(*options: str) -> AsyncGenerator[Site]:
    """The pages of a stack of its own."""
    async with running_stack(*options) as stack, connected_to(stack) as client:
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ:
                if name.startswith(OURS):
                    patch.delenv(name)
            place = find_place(stack.data_dir)
            async with (
                connected(place) as parts,
                api_of(parts) as origin,
                owners_pool(stack) as owners,
            ):
                yield Site(origin, stack, client, owners)


@pytest.fixture(scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and what they need."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, folder)
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, folder)
    code, said = await _run(folder, "npm", "ci")
    assert code == 0, said
    return folder


async def browse(node: Path, script: str, site: Site, person: Person, **given: str) -> None:
    """Run a script to its end; what it says is why it failed."""
    environment = {
        "ORIGIN": site.origin,
        "SECRET": person.secret,
        "SHOTS": SHOTS,
        "CHROMIUM": shutil.which("chromium") or "",
        # Chromium keeps its settings there.
        "HOME": str(node),
    }
    code, said = await _run(node, "node", script, **environment, **given)
    assert code == 0, said


async def _run(folder: Path, *words: str, **environment: str) -> tuple[int | None, str]:
    """A program to its end, and everything that it said."""
    running = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env=dict(os.environ) | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    return running.returncode, said.decode()

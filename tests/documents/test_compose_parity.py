"""docker-compose.yml, run: every command of ours, in its own environment, makes a video together.

No engine is needed: native servers stand for the images of others, and what differs from a
container is named in `compose_native.py`. What is changed in the file only, or in the code only,
fails here: a queue, a variable, a flag, a password, a bucket, a package that the lock forgot.
"""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from tests.documents.compose_file import REPOSITORY, Service, env_file, services
from tests.documents.compose_native import (
    Engine,
    Host,
    end_with_parent,
    engine,
    free_port,
    outside,
    run_script,
    translated,
    unpack_image,
)
from workers.embedded.locking import DataDirectory
from workers.embedded.ports import LOOPBACK
from workers.embedded.postgres import EmbeddedPostgres, binaries

# It needs Python only, and half a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools()]

KEY = base64.b64encode(bytes(range(32))).decode()
GIVEN = env_file("demo.env") | {
    "STILLMOTION_SECRET_KEY": KEY,
    "STILLMOTION_PAYLOAD_KEYS": f"first:{KEY}",
}
"""The env file of the demo, and what a deployment adds that keeps secrets."""

BY_NATIVE_SERVERS = {"postgres", "temporal", "store"}
BY_SCRIPTS = {"temporal-namespace", "store-bucket"}
NOT_HERE = {"temporal-schema", "temporal-ui", "prometheus", "grafana"}
"""Their programs are not on this machine, and no service of ours asks them for anything."""


class Deployment(NamedTuple):
    """Everything that the file starts by itself, started."""

    engine: Engine
    services: dict[str, Service]
    store: str
    """The address of the S3 server."""
    temporal: Client
    """Of the namespace that `temporal-namespace` makes."""


@pytest.fixture(scope="module")
async def deployment(temporal_server: str) -> AsyncIterator[Deployment]:
    """The services of the file without a profile, each as it says."""
    described = services(GIVEN)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stillmotion-image-")))
        await asyncio.to_thread(unpack_image, folder)
        # A folder of its own: where root may not enter a user namespace, `nobody` has to reach it.
        servers = stack.enter_context(tempfile.TemporaryDirectory(prefix="stillmotion-servers-"))
        directory = await stack.enter_async_context(DataDirectory(Path(servers)))
        server = await stack.enter_async_context(EmbeddedPostgres(directory))
        sockets = await _prepare_postgres(described["postgres"], server)
        store = await stack.enter_async_context(_store(described["store-bucket"]))
        addresses = {
            "postgres:5432": f"{quote(sockets, safe='')}:5432",
            "temporal:7233": temporal_server,
            "http://store:7070": store,
        }
        namespace = described["temporal-namespace"]
        script = outside(namespace, namespace.document["entrypoint"][1])
        programs = [Path(sysconfig.get_path("scripts"))]
        await run_script(namespace, ["sh", script], addresses, programs)
        host = Host(folder, addresses)
        running = await stack.enter_async_context(engine(host, described))
        started = [
            await running.up(name)
            for name, service in described.items()
            if service.is_ours and "profiles" not in service.document
        ]
        for each in started:
            if "healthcheck" in each.service.document:
                await running.healthy(each)
        made_for = namespace.environment["TEMPORAL_NAMESPACE"]
        temporal = await Client.connect(temporal_server, namespace=made_for)
        yield Deployment(running, described, store, temporal)
        codes = await running.down()
        assert set(codes.values()) == {0}, f"told to stop, they ended with {codes}"


async def _prepare_postgres(service: Service, server: EmbeddedPostgres) -> str:
    """Run the script that makes roles and databases, as the image does on an empty server.

    The image's superuser is `postgres`, and it has no databases yet. Returns the sockets' folder.
    """
    connection = await asyncpg.connect(server.dsn.replace("/stillmotion?", "/postgres?"))
    await connection.execute("CREATE ROLE postgres SUPERUSER LOGIN")
    await connection.execute("DROP DATABASE stillmotion")
    await connection.close()
    url = server.dsn.replace("stillmotion@/stillmotion?", "postgres@/postgres?")
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER ROLE stillmotion RENAME TO bootstrap")
    await connection.close()
    script = outside(service, "/docker-entrypoint-initdb.d/init.sql")
    psql = [str(binaries() / "psql"), "--no-psqlrc", "--quiet", "--file", script, url]
    await run_script(service, psql, {}, [])
    return server.dsn.split("?host=")[1].split("&")[0]


@asynccontextmanager
async def _store(bucket: Service) -> AsyncGenerator[str]:
    """A native S3 server with the bucket that `store-bucket` makes a folder for; its URL."""
    url = f"http://{LOOPBACK}:{(port := free_port())}"
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=end_with_parent,
    )
    try:
        name = Path(bucket.document["entrypoint"][-1]).name
        async with httpx.AsyncClient(trust_env=False) as client:
            while server.returncode is None:
                try:
                    (await client.put(f"{url}/{name}")).raise_for_status()
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    break
        yield url
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


def test_every_service_is_run_here_or_named_as_one_that_is_not() -> None:
    described = services(GIVEN)

    others = {name for name, service in described.items() if not service.is_ours}

    assert others == BY_NATIVE_SERVERS | BY_SCRIPTS | NOT_HERE


async def test_what_the_file_starts_makes_a_video_and_puts_it_into_the_bucket(
    deployment: Deployment,
) -> None:
    picture = str(REPOSITORY / "examples" / "coffee.jpg")
    words = ["image-to-video", picture, "--prompt", "steam rises", "--resolution", "480p"]

    out = await deployment.engine.run("cli", *words, "--user=ann", "--wait", "-o", "json")

    generation: dict[str, Any] = json.loads(out)
    assert (generation["status"], generation["user_id"]) == ("completed", "ann")
    workflow = deployment.temporal.get_workflow_handle(generation["generation_id"])
    assert (await workflow.describe()).status is not None
    async with httpx.AsyncClient(trust_env=False) as client:
        listing = (await client.get(f"{deployment.store}/stillmotion?list-type=2")).text
    assert re.search(rf"<Key>\S*{generation['sha256']}\S*\.mp4</Key>", listing), listing


async def test_an_operators_command_of_the_file_finds_everything_in_order(
    deployment: Deployment,
) -> None:
    cli = deployment.services["cli"]

    out = await deployment.engine.run("cli", *cli.command, "-o", "json")

    assert all(check["ok"] for check in json.loads(out)["checks"]), out


async def test_the_api_reaches_all_it_needs_with_a_login_that_can_not_touch_plans(
    deployment: Deployment,
) -> None:
    api = await deployment.engine.up("api")

    async with httpx.AsyncClient(trust_env=False) as client:
        ready = await client.get(api.url("8780") + "/readyz")

    assert ready.status_code == 200, ready.text
    address = api.service.environment["STILLMOTION_DATABASE_URL"]
    connection = await asyncpg.connect(translated(address, deployment.engine.addresses))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM plans")
    await connection.close()


async def test_a_picture_sent_to_the_api_becomes_a_video_that_it_serves_from_the_bucket(
    deployment: Deployment,
) -> None:
    api = await deployment.engine.up("api")
    words = ("keys", "make", "shop", "--sources", "api", "--user", "bea", "-o", "quiet")
    secret = (await deployment.engine.run("cli", *words)).strip()
    wish = {"operation": "image-to-video", "prompt": "steam rises", "resolution": "480p"}
    picture = (REPOSITORY / "examples" / "coffee.jpg").read_bytes()
    form = {
        "request": (None, json.dumps(wish).encode(), "application/json"),
        "image": ("coffee.jpg", picture, "image/jpeg"),
    }

    async with httpx.AsyncClient(
        base_url=api.url("8780"),
        headers={"Authorization": f"Bearer {secret}"},
        trust_env=False,
        timeout=60,
    ) as http:
        started = await http.post("/v1/generations", files=form)
        assert started.status_code == 202, started.text
        seen: dict[str, Any] = started.json()
        while seen["status"] == "running":
            await asyncio.sleep(0.2)
            seen = (await http.get(started.headers["location"])).json()
        assert seen["status"] == "completed", seen
        video = await http.get(seen["links"]["content"])

    assert hashlib.sha256(video.content).hexdigest() == seen["sha256"]


async def test_the_codec_server_of_its_profile_answers(deployment: Deployment) -> None:
    codec = await deployment.engine.up("codec-server")
    await deployment.engine.healthy(codec)

    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(codec.url("8081") + "/decode", json={"payloads": []})

    assert answer.status_code == 200, answer.text


async def test_the_image_says_its_version_without_being_installed(deployment: Deployment) -> None:
    said = await deployment.engine.run("cli", "--version")

    assert said.strip() == deployment.services["cli"].document["image"].split(":")[1]
    assert shutil.which("stillmotion", path=sysconfig.get_path("scripts")), "it is installed here"

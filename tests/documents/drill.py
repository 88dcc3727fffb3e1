"""What happens in a rehearsal between the commands: servers, videos being made, a disaster.

The servers stand where an operator has managed ones. The provider's account outlives the disaster,
as the real one would.
"""

import asyncio
import base64
import hashlib
import json
import os
import shlex
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import httpx

from tests.documents.shell import Failed, Shell
from workers.embedded.locking import DataDirectory
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.temporal import EmbeddedTemporal

PATIENCE_S = 120.0
_BOOKS = (
    "SELECT kind, account, reserved_usd_micros, settled_usd_micros FROM ledger ORDER BY entry_id"
)


class Drill:
    """The servers of a rehearsal, and its happenings by name."""

    def __init__(self, folder: Path, shell: Shell) -> None:
        self._folder = folder
        self._shell = shell
        self._lives = 0
        self._servers = AsyncExitStack()
        self._sandbox: asyncio.subprocess.Process | None = None
        self._provider = ""
        self._database = ""
        self._before: dict[str, Any] = {}
        self._secret = base64.b64encode(os.urandom(32)).decode()

    async def __aenter__(self) -> Self:
        self._provider = await self._start_sandbox()
        await self._start_servers()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._servers.aclose()
        assert self._sandbox is not None, "it was started first"
        self._sandbox.terminate()
        await self._sandbox.wait()

    async def happen(self, name: str) -> None:
        """Do what the handbook speaks of.

        Raises:
            Failed: what it promises did not come true.
        """
        await HAPPENINGS[name](self)

    async def _start_sandbox(self) -> str:
        self._sandbox = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.sandbox", "--port=0", "--work-s=0.5"),
            *(f"--data-dir={self._folder / 'provider'}", "--die-with-parent"),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._sandbox.stdout is not None, "it was asked for"
        said: dict[str, str] = json.loads(await self._sandbox.stdout.readline())
        return said["provider"]

    async def _start_servers(self) -> None:
        """An empty database, an empty namespace, an empty folder for media; and their addresses."""
        self._lives += 1
        home = self._folder / f"servers-{self._lives}"
        directory = await self._servers.enter_async_context(DataDirectory(home))
        postgres = await self._servers.enter_async_context(EmbeddedPostgres(directory))
        temporal = await self._servers.enter_async_context(EmbeddedTemporal(directory))
        self._database = postgres.dsn
        media = self._folder / f"media-{self._lives}"
        if self._lives == 1:
            media.mkdir()
        settings = {
            "STILLMOTION_DATABASE_URL": postgres.dsn,
            "STILLMOTION_MEDIA_URL": media.as_uri(),
            "STILLMOTION_SECRET_KEY": self._secret,
            "TEMPORAL_ADDRESS": temporal.address,
            "TEMPORAL_NAMESPACE": "default",
            "WAVESPEED_API_KEY": "sandbox",
            "WAVESPEED_BASE_URL": self._provider,
            # Not in the handbook's file: what makes minutes seconds, and the folder that it copies.
            "MEDIA_FOLDER": str(media),
            "STILLMOTION_SETTLE_DELAY_S": "1",
            "STILLMOTION_HEARTBEAT_TIMEOUT_S": "5",
            "STILLMOTION_POLL_INTERVAL_S": "0.5",
            "STILLMOTION_SWEEP_GRACE_S": "1",
        }
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in settings.items()]
        (self._folder / "stillmotion.env").write_text("".join(lines))

    async def make_videos(self) -> None:
        """One is done (by the handbook); one is at the provider, one can't be sent yet."""
        await self._faults({"job": {"kind": "hang"}})
        running = await self._begin("it floats in the wind", "generating")
        await self._faults({"upload": {"kind": "status", "code": 503}})
        waiting = await self._begin("it sinks in the sea", "staging")
        self._before = {
            "running": running,
            "waiting": waiting,
            "prediction": await self._value(
                "SELECT prediction_id FROM generations WHERE generation_id = $1", running
            ),
            "done": await self._value("SELECT generation_id FROM assets"),
            "books": await self._rows(_BOOKS),
        }

    async def lose_everything(self) -> None:
        """Every machine of ours, with all disks: what is left is the backup and the provider."""
        await self._shell.kill_jobs()
        await self._servers.aclose()
        for name in ("servers", "media"):
            shutil.rmtree(self._folder / f"{name}-{self._lives}")
        (self._folder / "stillmotion.env").unlink()
        self._servers = AsyncExitStack()
        await self._start_servers()

    async def see_them_go_on(self) -> None:
        """The promises of the handbook's table, each looked at."""
        before = self._before
        books = await self._rows(_BOOKS)
        _hold(
            books[: len(before["books"])] == before["books"], "the ledger is as it was, and goes on"
        )
        for area in ("job", "upload"):
            await self._controls("DELETE", "faults", params={"area": area})
        await self._stage_is(before["running"], "completed")
        await self._stage_is(before["waiting"], "failed")
        for generation_id in (before["done"], before["running"]):
            await self._file_is_whole(generation_id)
        predictions = [row["id"] for row in (await self._controls("GET", "log"))["predictions"]]
        _hold(len(predictions) == 2, "each video was paid for once")
        _hold(before["prediction"] in predictions, "the running one adopted its own job")
        unpaid = await self._value(
            "SELECT count(*) FROM submissions WHERE generation_id = $1 AND state = 'accepted'",
            before["waiting"],
        )
        _hold(unpaid == 0, "what was not submitted was not sent")

    async def _begin(self, prompt: str, stage: str) -> str:
        said = await self._shell.run(
            f"stillmotion image-to-video examples/coffee.jpg --prompt {shlex.quote(prompt)}"
            " --user ann --detach -o json"
        )
        generation_id: str = json.loads(said)["generation_id"]
        await self._stage_is(generation_id, stage)
        return generation_id

    async def _stage_is(self, generation_id: str, stage: str) -> None:
        query = "SELECT stage FROM generations WHERE generation_id = $1"
        seen = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (seen := await self._value(query, generation_id)) != stage:
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise Failed(f"{generation_id} is {seen}, not {stage}") from None

    async def _file_is_whole(self, generation_id: str) -> None:
        said = await self._shell.run(f"stillmotion show {generation_id} --user ann -o json")
        shown = json.loads(said)
        content = await asyncio.to_thread(Path(shown["file_path"]).read_bytes)
        _hold(hashlib.sha256(content).hexdigest() == shown["sha256"], "a video is as it was stored")

    async def _faults(self, plan: dict[str, Any]) -> None:
        await self._controls("POST", "faults", json=plan)

    async def _controls(self, method: str, name: str, **given: Any) -> dict[str, Any]:
        address = self._provider.removesuffix("/api/v3")
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.request(method, f"{address}/sandbox/{name}", **given)
            return reply.raise_for_status().json()

    async def _value(self, query: str, *args: str) -> Any:
        connection = await asyncpg.connect(self._database)
        try:
            return await connection.fetchval(query, *args)
        finally:
            await connection.close()

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self._database)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()


def _hold(is_true: bool, promise: str) -> None:  # noqa: FBT001 - a promise and whether it holds
    if not is_true:
        raise Failed(f"it does not hold that {promise}")


HAPPENINGS = {
    "videos are being made": Drill.make_videos,
    "everything is lost": Drill.lose_everything,
    "they go on": Drill.see_them_go_on,
}
"""What the handbook may name, in its order."""

"""A client as a process: `python -m tests.chaos.client ERRANDS PROMISES`.

It runs its errands in order, each until it was taken, and prints the id of each to PROMISES. Killed
and started again it begins at the first one: keys are names for ever, so nothing is made twice.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from temporalio.service import RPCError

from activities.media.errors import DecodingFailed, StoreError
from starter import VideoClient
from tests.chaos.orders import ERRANDS, Errand, Order
from tests.chaos.rig import AWAY
from tests.end_to_end.stacks import CHELSEA, COFFEE, PORTRAIT, SPEECH
from workflows.contracts.requests import Operation

PAUSE_S = 0.5
PASSING = (*AWAY, RPCError, StoreError, DecodingFailed)
"""What another try may mend; a refusal is none of them, and ends the process with its reason."""

FILES: dict[Operation, dict[str, tuple[Path, Any]]] = {
    Operation.IMAGE_TO_VIDEO: {"image": (COFFEE, "image")},
    Operation.SCENE_ANIMATION: {"image": (CHELSEA, "image")},
    Operation.TALKING_AVATAR: {"image": (PORTRAIT, "image"), "audio": (SPEECH, "audio")},
}


class Runner:
    """One client's errands."""

    def __init__(self, client: VideoClient, promises: Path) -> None:
        self._client = client
        self._promises = promises
        self._uploaded: dict[tuple[str, Path], str] = {}
        self._cancels: list[asyncio.Task[None]] = []

    async def run(self, errands: list[Errand]) -> None:
        """All of them, and the cancels that belong to them."""
        told = self._promises.read_text("utf-8") if self._promises.exists() else ""
        for errand in errands:
            # What an earlier life has printed is asked for again, but not waited for.
            await asyncio.sleep(0 if f'"{errand.key}"' in told else errand.pause_s)
            self._promise(errand.key, await self._taken(errand))
        await asyncio.gather(*self._cancels)

    async def _taken(self, errand: Errand) -> str:
        while True:
            try:
                return await self._start(errand)
            except PASSING as error:
                sys.stderr.write(f"{errand.key}: {type(error).__name__}: {error}\n")
                await asyncio.sleep(PAUSE_S)

    async def _start(self, errand: Errand) -> str:
        if errand.is_batch:
            items = [
                {"operation": order.operation.value, **await self._fields(order)}
                for order in errand.orders
            ]
            batch = await self._client.batch(
                items, user_id=errand.user_id, idempotency_key=errand.key
            )
            return batch.id
        (order,) = errand.orders
        handle = await self._client.ai_video_generate(
            order.operation.value, user_id=order.user_id, **await self._fields(order)
        )
        if order.cancel_after_s is not None:
            self._cancels.append(asyncio.create_task(self._cancel(handle.id, order.cancel_after_s)))
        return handle.id

    async def _cancel(self, generation_id: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while True:
            try:
                await (await self._client.get(generation_id)).cancel()
            except PASSING:
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def _fields(self, order: Order) -> dict[str, Any]:
        fields: dict[str, Any] = {"idempotency_key": order.key}
        for name, (path, role) in FILES[order.operation].items():
            fields[name] = await self._media_id(order.user_id, path, role)
        if order.operation is Operation.SCENE_ANIMATION:
            return fields | {
                "scene": {"title": order.text},
                "story_context": {"plot": "It waits for rain."},
            }
        return fields | {"prompt": order.text, "resolution": "480p"}

    async def _media_id(self, user_id: str, path: Path, role: Any) -> str:
        known = self._uploaded.get((user_id, path))
        if known is None:
            known = await self._client.upload(path, user_id=user_id, role=role)
            self._uploaded[user_id, path] = known
        return known

    def _promise(self, key: str, made: str) -> None:
        with self._promises.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "id": made}) + "\n")


async def main(errands: Path, promises: Path) -> None:
    while True:
        try:
            client = await VideoClient.connect()
        except PASSING:
            await asyncio.sleep(PAUSE_S)
        else:
            break
    async with client:
        await Runner(client, promises).run(ERRANDS.validate_json(errands.read_bytes()))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""One large download in a process of its own, so that its peak of memory is its own.

    python -m benchmarks.media_transfers plain|product URL FOLDER

Prints a JSON object: `took_s`, and `grown_bytes`, the peak of resident memory less what was
resident before.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from activities.media.fetching import fetch, output_policy
from activities.media.keys import output_key
from activities.media.store import MediaStore

_KB = 1024


def main() -> None:
    """Download once, and tell what it took."""
    kind, url, folder = sys.argv[1:]
    transfer = {"plain": plain, "product": product}[kind]
    sys.stdout.write(json.dumps(asyncio.run(_measured(transfer, url, Path(folder)))) + "\n")


async def plain(url: str, folder: Path) -> None:
    """What a few lines of httpx do: no hash, no limit, nothing synced."""
    async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url) as reply:
        with (folder / "plain").open("wb") as file:
            async for block in reply.aiter_bytes():
                file.write(block)


async def product(url: str, folder: Path) -> None:
    """What `Downloads` does but for decoding: guarded, hashed, and durable in the store."""
    store = MediaStore.from_url((folder / "store").as_uri())
    policy = output_policy((), url)
    with store.scratch() as scratch:
        path = scratch / "output.mp4"
        fetched = await fetch(url, path, policy=policy)
        key = output_key("0" * 32, "0" * 16, fetched.sha256, ".mp4")
        await store.put_file(path, key, mime_type="video/mp4")


async def _measured(
    transfer: Callable[[str, Path], Awaitable[None]], url: str, folder: Path
) -> dict[str, float]:
    before_bytes = _memory_bytes("VmRSS")
    started = time.perf_counter()
    await transfer(url, folder)
    took_s = time.perf_counter() - started
    return {"took_s": took_s, "grown_bytes": _memory_bytes("VmHWM") - before_bytes}


def _memory_bytes(field: str) -> int:
    """The kernel's count for this very process; `getrusage` would keep its parent's peak."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * _KB
    raise LookupError(f"the kernel tells no {field}")


if __name__ == "__main__":
    main()

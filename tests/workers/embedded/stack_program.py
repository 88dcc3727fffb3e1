"""Holds a data directory with both servers until killed: the core of `stillmotion dev`."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from workers.embedded.locking import DataDirectory
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.temporal import EmbeddedTemporal


async def main(path: Path) -> None:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(DataDirectory(path))
        postgres = await stack.enter_async_context(EmbeddedPostgres(directory))
        temporal = await stack.enter_async_context(EmbeddedTemporal(directory))
        ready = {
            "postgres_pid": postgres.child.pid,
            "temporal_pid": temporal.child.pid,
            "dsn": postgres.dsn,
            "address": temporal.address,
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

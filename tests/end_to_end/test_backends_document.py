"""The examples of docs/backends.md, run as they stand there."""

import asyncio
import json
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stacks import REPOSITORY, Stack
from standardwebhooks import Webhook

DOCUMENT = (REPOSITORY / "docs" / "backends.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.+?)```", DOCUMENT, re.DOTALL)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_asking_twice_under_one_key_gives_one_video(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    (tmp_path / ".stillmotion").symlink_to(stack.data_dir)
    program = f"{BLOCKS[0]}\nfor _ in range(2):\n    asyncio.run(video_for('1'))\n"

    async with stack.worker():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), 120)

    first, second = printed.decode().splitlines()
    assert first == second
    generation_id, status, sha256 = first.split()
    assert (status, len(sha256)) == ("completed", 64)
    assert len(await stack.predictions_of(generation_id)) == 1


def test_a_receiver_believes_what_is_signed_and_tells_it() -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS[1], names)
    body = json.dumps({"data": {"generation_id": "gen_1", "status": "running", "stage": "saving"}})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, body),
    }

    assert names["told"](SECRET, headers, body) == "gen_1 is running at saving"

"""A gigabyte goes through the API's process in blocks, and stays out of its memory."""

import json
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.starter.api.conftest import a_caller
from tests.starter.api.holders import a_holder, owners_pool
from tests.starter.api.products import a_user
from tests.starter.conftest import COFFEE, SPEECH, Stack, start_cli

# Python only, and half a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools(), pytest.mark.timeout(600)]

GIGABYTE = 1_000_000_000
BLOCK = bytes(1_000_000)
GROWTH_BYTES_MAX = 64 * 1024 * 1024
FRAME_BYTES, RATE = 4, 48_000


def a_long_silence() -> Iterator[bytes]:
    """A WAV of just more than a gigabyte: an hour and a half."""
    sound = struct.pack("<HHIIHH", 1, 2, RATE, RATE * FRAME_BYTES, FRAME_BYTES, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(sound)) + sound
    chunks += b"data" + struct.pack("<I", GIGABYTE)
    yield b"RIFF" + struct.pack("<I", len(chunks) + GIGABYTE) + chunks
    for _ in range(GIGABYTE // len(BLOCK)):
        yield BLOCK


def _memory_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


async def test_a_gigabyte_of_sound_grows_the_process_by_less_than_64_megabytes(
    idle_stack: Stack,
) -> None:
    async def body() -> AsyncIterator[bytes]:
        for piece in a_long_silence():
            yield piece

    async with owners_pool(idle_stack) as pool:
        holder = await a_holder(pool)
    process = await start_cli(
        *("api", "--port", "0", "-o", "json", "--data-dir", str(idle_stack.data_dir)),
        STILLMOTION_INPUT_SIZE_BYTES_MAX=str(2 * GIGABYTE),
    )
    try:
        assert process.stdout is not None
        origin = json.loads(await process.stdout.readline())["api"]
        path, headers = f"{origin}/v1/uploads?role=", holder.headers(a_user())
        async with a_caller() as http:
            # What is loaded once is loaded now.
            for role, file in (("image", COFFEE), ("audio", SPEECH)):
                content = Path(file).read_bytes()
                first = await http.post(path + role, headers=headers, content=content)
                assert first.status_code == 201
            before = _memory_bytes(process.pid, "VmRSS")
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            reply = await http.post(f"{path}audio", headers=headers, content=body(), timeout=500)
        grown = _memory_bytes(process.pid, "VmHWM") - before
    finally:
        process.kill()
        await process.communicate()

    facts = reply.json()["facts"]
    assert (reply.status_code, facts["duration_s"]) == (201, GIGABYTE / FRAME_BYTES / RATE)
    assert facts["size_bytes"] > GIGABYTE
    assert grown < GROWTH_BYTES_MAX

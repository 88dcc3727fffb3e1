"""The README's examples, run as they stand there."""

import asyncio
import json
import os
import re
import shlex
import sys
import sysconfig
from pathlib import Path

import pytest
from stacks import REPOSITORY, Stack
from temporalio.client import Client

README = (REPOSITORY / "README.md").read_text()
SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.fixture
def checkout(stack: Stack, tmp_path: Path) -> Path:
    """A folder like the reader's: the examples, and the stack's state in `.stillmotion`."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    (tmp_path / ".stillmotion").symlink_to(stack.data_dir)
    return tmp_path


async def run(*argv: str, cwd: Path) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), err.decode()


async def test_the_first_own_video_is_made_by_the_command_that_the_readme_gives(
    stack: Stack, checkout: Path
) -> None:
    (line,) = re.findall(r"^\$ \.venv/bin/stillmotion (image-to-video .+)$", README, re.MULTILINE)

    async with stack.worker():
        code, _, said = await run(
            sys.executable, "-m", "starter.cli", *shlex.split(line), cwd=checkout
        )

    assert code == 0, said
    assert (checkout / "rocket.mp4").stat().st_size > 10_000


async def test_the_python_example_runs_as_it_stands(stack: Stack, checkout: Path) -> None:
    (block,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    imports, body = block.split("\n\n", 1)
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    program = f"{imports}\nimport asyncio\nasync def main():\n{indented}\nasyncio.run(main())\n"

    async with stack.worker():
        code, printed, said = await run(sys.executable, "-c", program, cwd=checkout)

    assert code == 0, said
    assert "100 Done" in printed
    path, cost = printed.splitlines()[-1].rsplit(" ", 1)
    assert Path(path).is_file()
    assert cost == "500000"


async def test_the_wire_example_is_taken_by_temporals_own_command(
    stack: Stack, checkout: Path
) -> None:
    text = README.replace("\\\n    ", "")
    (line,) = re.findall(r"^\$ (temporal workflow start .+)$", text, re.MULTILINE)
    program, *rest = shlex.split(line)

    code, _, said = await run(
        str(SCRIPTS / program), *rest, "--address", stack.address.temporal, cwd=checkout
    )

    assert code == 0, said
    client = await Client.connect(stack.address.temporal)
    handle = client.get_workflow_handle("my-video-1")
    await handle.terminate("the example's URL is not to be fetched")
    given = json.loads(rest[rest.index("--input") + 1])
    assert given["user_id"] == "ann"

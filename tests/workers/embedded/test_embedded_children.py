"""Child processes: their output, their end, and the guard that replaces the kernel's help."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from workers.embedded.children import Child, Inheritance, start_child
from workers.embedded.logs import ChildLog
from workers.embedded.processes import command_of

AllGone = Callable[[Iterable[int]], Awaitable[None]]
KERNEL = Inheritance(guarded=False)
GUARD = Inheritance(guarded=True)
TIES = pytest.mark.parametrize("tie", [KERNEL, GUARD], ids=["kernel", "guard"])


async def shell(script: str, log_path: Path, inherit: Inheritance = KERNEL) -> Child:
    return await start_child(
        ["/bin/sh", "-c", script],
        env={"GREETING": "hello"},
        log_path=log_path,
        stop_signal=signal.SIGTERM,
        cwd=Path("/"),
        inherit=inherit,
    )


async def until_it_wrote(child: Child, text: str) -> None:
    async with asyncio.timeout(10):
        while text not in child.log_tail():
            await asyncio.sleep(0.01)


@TIES
async def test_a_child_has_just_our_environment_and_its_output_is_kept(
    tmp_path: Path, tie: Inheritance
) -> None:
    script = 'echo "$GREETING, $HOME|$(pwd)"; echo oops >&2; read line || echo no input; exit 3'

    child = await shell(script, tmp_path / "child.log", tie)
    code = await child.wait()
    await child.stop()

    assert code == 3
    assert child.log_tail() == "hello, |/\noops\nno input\n"


@TIES
async def test_stop_sends_the_stop_signal_and_lets_the_child_finish(
    tmp_path: Path, tie: Inheritance
) -> None:
    script = 'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
    child = await shell(script, tmp_path / "child.log", tie)
    await until_it_wrote(child, "ready")

    code = await child.stop()

    assert code == 7
    assert child.log_tail().endswith("bye\n")


@TIES
async def test_a_child_that_ignores_its_stop_signal_is_killed(
    tmp_path: Path, tie: Inheritance, all_gone: AllGone
) -> None:
    script = 'trap "" TERM; echo $$; while :; do sleep 0.05; done'
    child = await shell(script, tmp_path / "child.log", tie)
    await until_it_wrote(child, "\n")
    pid = int(child.log_tail())

    code = await child.stop(timeout_s=0.2)

    assert code == -signal.SIGKILL
    await all_gone((pid,))


async def test_an_ended_child_can_be_stopped_again(tmp_path: Path) -> None:
    child = await shell("exit 0", tmp_path / "child.log")
    await child.wait()

    assert await child.stop() == 0
    assert await child.stop() == 0


async def test_a_program_that_does_not_exist_is_an_error_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await start_child(
            [str(tmp_path / "missing")],
            env={},
            log_path=tmp_path / "child.log",
            stop_signal=signal.SIGTERM,
            cwd=tmp_path,
        )


async def test_the_tail_shows_only_what_this_start_wrote(tmp_path: Path) -> None:
    log_path = tmp_path / "child.log"
    for word in ("first", "second"):
        child = await shell(f"echo {word}", log_path)
        await child.wait()
        await child.stop()

    assert child.log_tail() == "second\n"
    assert log_path.read_text() == "first\nsecond\n"


def test_a_full_log_is_moved_aside_while_the_child_writes_on(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "child.log", size_bytes_max=10)
    descriptor = log.open()
    os.write(descriptor, b"more than ten bytes\n")

    log.rotate()
    os.write(descriptor, b"next\n")
    os.close(descriptor)

    assert (tmp_path / "child.log").read_bytes() == b"next\n"
    assert (tmp_path / "child.log.1").read_bytes() == b"more than ten bytes\n"
    assert log.tail() == "next\n"


async def test_a_guard_ends_its_command_when_the_parent_closes_the_pipe(all_gone: AllGone) -> None:
    guard = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.embedded.guard", "SIGTERM"),
        *("/bin/sh", "-c", 'trap "exit 9" TERM; echo $$; while :; do sleep 0.05; done'),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    pid = int(await guard.stdout.readline())
    assert command_of(pid)[0] == "/bin/sh"

    guard.stdin.close()
    code = await guard.wait()

    assert code == 9
    await all_gone((pid,))

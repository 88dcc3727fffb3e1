"""Nothing cleans up after SIGKILL: the servers end by themselves and come back whole."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from workers.embedded.errors import DataDirectoryBusy
from workers.embedded.locking import DataDirectory, running_pid
from workers.embedded.processes import having_open, working_in

STACK_PROGRAM = Path(__file__).with_name("stack_program.py")

AllGone = Callable[[Iterable[int]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A process that holds a data directory with both servers."""

    process: Process
    postgres_pid: int
    temporal_pid: int
    dsn: str
    address: str

    @property
    def server_pids(self) -> tuple[int, int]:
        return self.postgres_pid, self.temporal_pid

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


StartStack = Callable[[], Awaitable[RunningStack]]


@pytest.fixture
async def start_stack(used_data_path: Path, all_gone: AllGone) -> AsyncIterator[StartStack]:
    """Start the stack on `used_data_path`; what still runs is killed when the test is over."""
    stacks: list[RunningStack] = []

    async def start() -> RunningStack:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(STACK_PROGRAM), str(used_data_path)), stdout=PIPE
        )
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        stacks.append(RunningStack(process=process, **ready))
        return stacks[-1]

    yield start
    for stack in stacks:
        if stack.process.returncode is None:
            await stack.kill()
    await all_gone(having_open(used_data_path / "lock"))


async def leave_a_trace(stack: RunningStack) -> None:
    connection = await asyncpg.connect(stack.dsn)
    await connection.execute("CREATE TABLE kept AS SELECT 'still here' AS word")
    await connection.close()
    client = await Client.connect(stack.address)
    await client.start_workflow("Unserved", id="kept", task_queue="nobody-listens")


async def assert_the_trace_is_there(stack: RunningStack) -> None:
    connection = await asyncpg.connect(stack.dsn)
    assert await connection.fetchval("SELECT word FROM kept") == "still here"
    await connection.close()
    client = await Client.connect(stack.address)
    found = await client.get_workflow_handle("kept").describe()
    assert found.status is WorkflowExecutionStatus.RUNNING


async def test_killing_the_parent_ends_the_servers_and_frees_the_folder(
    start_stack: StartStack, used_data_path: Path, all_gone: AllGone
) -> None:
    stack = await start_stack()
    backends = working_in(used_data_path / "postgres")
    assert stack.postgres_pid in backends
    assert set(having_open(used_data_path / "lock")) >= {*stack.server_pids, *backends}

    await stack.kill()
    await all_gone({*stack.server_pids, *backends})

    async with asyncio.timeout(5), DataDirectory(used_data_path):
        assert running_pid(used_data_path) == os.getpid()


async def test_a_start_right_after_the_parent_was_killed_waits_for_its_servers(
    start_stack: StartStack, all_gone: AllGone
) -> None:
    first = await start_stack()
    await leave_a_trace(first)
    await first.kill()

    second = await start_stack()

    await all_gone(first.server_pids)
    await assert_the_trace_is_there(second)
    assert second.address == first.address


async def test_everything_killed_at_once_comes_back_whole(start_stack: StartStack) -> None:
    first = await start_stack()
    await leave_a_trace(first)
    for pid in first.server_pids:
        os.kill(pid, signal.SIGKILL)
    await first.kill()

    second = await start_stack()

    await assert_the_trace_is_there(second)


async def test_a_second_stack_on_the_folder_is_refused_with_the_pid_of_the_first(
    start_stack: StartStack, used_data_path: Path
) -> None:
    first = await start_stack()

    with pytest.raises(DataDirectoryBusy, match=f"process {first.process.pid}") as refusal:
        await DataDirectory(used_data_path).__aenter__()

    assert refusal.value.pid == first.process.pid == running_pid(used_data_path)

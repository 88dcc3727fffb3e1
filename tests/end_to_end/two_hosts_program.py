"""The services of two worker hosts, a client, and the death of one host; writes what came of it.

    two_hosts_program.py REPORT ADDRESS GENERATIONS NAMESPACE_A NAMESPACE_B

Runs in the namespace whose ADDRESS the hosts know, and writes the REPORT as JSON.
"""

import asyncio
import dataclasses
import hashlib
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from namespaces import Machine
from relays import Seen, relayed
from stacks import COFFEE, HASTY, REPOSITORY, SMALL, Stack, until

from starter import GenerationHandle, VideoClient
from tests.s3 import running_s3
from workers.dev import Options, running_stack
from workers.embedded.children import Child, start_child
from workers.stack import environment_of
from workflows.contracts.stack import STACK_FILE
from workflows.contracts.stages import Status

WORK_S = 0.5
USERS = tuple(f"user-{number}" for number in range(5))
PATIENCE_S = 400.0


@dataclasses.dataclass
class Told:
    """What came of it, as JSON."""

    statuses: dict[str, int]
    predictions: dict[str, int]
    """How many generations have so many predictions at the provider."""
    predictions_in_all: int
    settlements: dict[str, int]
    places: list[str]
    """Every distinct beginning of a file's place."""
    files_as_recorded: int
    held_when_killed: int
    """Activities that the killed host had begun."""
    completed_when_killed: int
    steps_done: dict[str, int]
    """By host: activities that ended there."""
    took_s: float


async def main(address: str, count: int, namespaces: tuple[str, str]) -> Told:
    """The whole play."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sm-hosts-")))
        local = await stack.enter_async_context(
            running_stack(
                Options(folder / "stack", workers=False, api=False, sandbox_work_s=WORK_S)
            )
        )
        s3 = await stack.enter_async_context(running_s3(folder))
        seen = await stack.enter_async_context(relayed(local, s3, address))
        os.environ.update(seen.s3)
        (folder / STACK_FILE).write_text(seen.stack.model_dump_json(), "utf-8")
        client = await stack.enter_async_context(await VideoClient.connect(folder))
        services = Stack(folder, local, client)
        await services.faults({"output": SMALL})
        await _let_everyone_spend(services)
        hosts = [
            await _host(Machine(name, ""), f"host-{letter}", seen, folder)
            for name, letter in zip(namespaces, "ab", strict=True)
        ]
        for host in hosts:
            stack.push_async_callback(host.stop)
        return await _play(services, hosts[1], count)


async def _play(services: Stack, doomed: Child, count: int) -> Told:
    clock = asyncio.get_running_loop().time
    started = clock()
    client = services.client
    pictures = [await client.upload(COFFEE, user_id=user) for user in USERS]
    handles: list[GenerationHandle] = []
    for number in range(count):
        user, picture = (many[number % len(USERS)] for many in (USERS, pictures))
        handles.append(
            await client.image_to_video(picture, "a zoom", user_id=user, resolution="480p")
        )
    done = await until(lambda: _at_least(services, count // 3), PATIENCE_S)
    held = await until(lambda: _held(services, handles), PATIENCE_S)
    os.killpg(doomed.pid, signal.SIGKILL)
    await doomed.wait()
    await until(lambda: _all_ended(services, count), PATIENCE_S)
    return await _told(
        services,
        handles,
        held_when_killed=held,
        completed_when_killed=done,
        took_s=round(clock() - started, 1),
    )


async def _at_least(services: Stack, wanted: int) -> int | None:
    done = await services.value("SELECT count(*) FROM generations WHERE stage = 'completed'")
    return done if done >= wanted else None


async def _all_ended(services: Stack, count: int) -> bool:
    ended = "('completed', 'failed', 'cancelled')"
    return await services.value(f"SELECT count(*) FROM generations WHERE stage IN {ended}") == count


async def _held(services: Stack, handles: list[GenerationHandle]) -> int:
    """How many activities run on host B just now, as far as a look at some generations tells."""
    rows = await services.rows(
        "SELECT generation_id FROM generations WHERE stage NOT IN ('accepted', 'completed')"
        " ORDER BY generation_id LIMIT 12"
    )
    held = 0
    for (generation_id,) in rows:
        workflow = services.client.temporal.get_workflow_handle(generation_id)
        pending = (await workflow.describe()).raw_description.pending_activities
        held += sum(one.last_worker_identity.endswith("@host-b") for one in pending)
    return held if held > 1 else 0


async def _told(
    services: Stack,
    handles: list[GenerationHandle],
    *,
    held_when_killed: int,
    completed_when_killed: int,
    took_s: float,
) -> Told:
    statuses, predictions, settlements = Counter[str](), Counter[str](), Counter[str]()
    places, steps = set[str](), Counter[str]()
    as_recorded = 0
    for handle in handles:
        generation = await handle.read_generation()
        statuses[generation.status.value] += 1
        predictions[str(len(await services.predictions_of(handle.id)))] += 1
        settlements[str(await services.settlements(handle.id))] += 1
        places.add((generation.file_path or generation.url or "").partition("/outputs/")[0])
        if generation.status is Status.COMPLETED:
            stored = hashlib.sha256(await handle.read()).hexdigest()
            as_recorded += stored == generation.sha256
        steps += await _steps_of(services, handle.id)
    return Told(
        statuses=dict(statuses),
        predictions=dict(predictions),
        predictions_in_all=len((await services.log())["predictions"]),
        settlements=dict(settlements),
        places=sorted(places),
        files_as_recorded=as_recorded,
        held_when_killed=held_when_killed,
        completed_when_killed=completed_when_killed,
        steps_done=dict(steps),
        took_s=took_s,
    )


async def _steps_of(services: Stack, generation_id: str) -> Counter[str]:
    """How many activities ended on each host."""
    workflow = services.client.temporal.get_workflow_handle(generation_id)
    identities = [
        event.activity_task_completed_event_attributes.identity
        for event in (await workflow.fetch_history()).events
        if event.HasField("activity_task_completed_event_attributes")
    ]
    return Counter(identity.rpartition("@")[2] for identity in identities)


async def _let_everyone_spend(services: Stack) -> None:
    for user in USERS:
        await services.value(
            "INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'enterprise') RETURNING plan",
            user,
        )


async def _host(machine: Machine, name: str, seen: Seen, folder: Path) -> Child:
    """A worker on a host of its own, in a process group of its own."""
    program = Path(__file__).with_name("host_program.py")
    argv = machine.entering("unshare", "--mount", "--uts", sys.executable, str(program), name)
    env = environment_of(seen.stack) | HASTY | dict(seen.s3)
    return await start_child(
        [*argv, str(folder)],
        env=env | {"PYTHONDONTWRITEBYTECODE": "1"},
        log_path=folder / f"{name}.log",
        stop_signal=signal.SIGTERM,
        cwd=REPOSITORY,
    )


if __name__ == "__main__":
    report, address, count, *namespaces = sys.argv[1:]
    first, second = namespaces
    told = asyncio.run(main(address, int(count), (first, second)))
    Path(report).write_text(json.dumps(dataclasses.asdict(told)), "utf-8")
    os._exit(0)  # Temporal's client sometimes aborts while the interpreter ends.

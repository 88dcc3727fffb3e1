"""Scenarios of parked generations that go on in a new run: these need versions of workers."""

from collections.abc import Awaitable, Callable

from tests.replay.generations import (
    ADOPTED,
    AMBIGUOUS,
    COMPLETED,
    FULL,
    KEY,
    TAKEN,
    UNPROVEN,
    Recorded,
)
from tests.workflows.scripted import PREDICTION, VIDEO, Script
from tests.workflows.theatre import Handle, Theatre, facts, reaches, until
from tests.workflows.versions import Versions, version_of
from workflows.contracts.stages import Stage

Succession = Callable[[Theatre, Versions, str], Awaitable[tuple[Recorded, Recorded]]]
"""Plays on a server with versions; returns the parked run and the one that continues it."""


async def parked_handed_over(
    theatre: Theatre, versions: Versions, generation_id: str
) -> tuple[Recorded, Recorded]:
    """A key that is refused; the new run finds the job completed."""
    script = Script().on("provider.submit", TAKEN).on("provider.poll", KEY)
    script.on("provider.check", KEY, COMPLETED)
    handle = await theatre.start_as(generation_id, script)
    await reaches(handle, Stage.TIMED_OUT)
    await _goes_on(handle, versions)
    return await _both(theatre, handle)


async def fetch_handed_over(
    theatre: Theatre, versions: Versions, generation_id: str
) -> tuple[Recorded, Recorded]:
    """A video that can't be stored; the new run has room."""
    script = Script().on("provider.check", COMPLETED).on("media.download", FULL, FULL, VIDEO)
    handle = await theatre.start_as(generation_id, script)
    await reaches(handle, Stage.TIMED_OUT)
    await _goes_on(handle, versions)
    return await _both(theatre, handle)


async def unresolved_handed_over(
    theatre: Theatre, versions: Versions, generation_id: str
) -> tuple[Recorded, Recorded]:
    """A lost reply that nothing proves; a person decides in the new run."""
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    script.on("provider.resolve", ADOPTED)
    handle = await theatre.start_as(generation_id, script)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await handle.signal("resume")
    await _goes_on(handle, versions)
    await until(lambda: script.count("provider.submit") == 2)
    decision = {"decision": "adopt", "prediction_id": PREDICTION}
    await handle.execute_update("resolve_submission", decision)
    return await _both(theatre, handle)


async def _goes_on(handle: Handle, versions: Versions) -> None:
    build_id = await versions.release()
    await handle.signal("resume")
    await until(lambda: _is_at(handle, build_id))


async def _is_at(handle: Handle, build_id: str) -> bool:
    return await version_of(handle) == build_id


async def _both(theatre: Theatre, handle: Handle) -> tuple[Recorded, Recorded]:
    await handle.signal("resume")
    await handle.result()
    first = handle.first_execution_run_id
    return theatre.client.get_workflow_handle(handle.id, run_id=first), handle


SCENARIOS: dict[str, Succession] = {
    play.__name__: play for play in (parked_handed_over, fetch_handed_over, unresolved_handed_over)
}

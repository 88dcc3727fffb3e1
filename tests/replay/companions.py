"""Scenarios of what goes along with generations: batches, tellers of callbacks, sweeps."""

from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import activity
from temporalio.client import WorkflowFailureError

from tests.replay.generations import Recorded, Scenario, Sleep
from tests.workflows.episodes import BatchRun, Episode
from tests.workflows.scripted import Gate, Script, refused
from tests.workflows.theatre import Theatre, until
from workflows.contracts.activities import Withdrawn
from workflows.contracts.callbacks import Delivery
from workflows.contracts.failures import FailureKind
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.queues import TaskQueue


async def batch(theatre: Theatre, _: Sleep, __: str) -> Recorded:
    """Three items, two at a time, without any trouble."""
    return await _ended(await Episode(theatre, 3, max_parallel=2).start())


async def batch_cancelled(theatre: Theatre, _: Sleep, __: str) -> Recorded:
    """A cancel while two of four items run."""
    play = Episode(theatre, 4, max_parallel=2)
    gates = play.hold_up(range(1, 5))
    run = await play.start()
    await until(lambda: gates[1].entered.is_set() and gates[2].entered.is_set())
    await run.cancel()
    return await _ended(run)


async def batch_cancelled_slowly(theatre: Theatre, _: Sleep, __: str) -> Recorded:
    """A cancel whose item takes its time to end."""
    play = Episode(theatre, 1)
    poll, withdraw = play.hold_up((1,))[1], Gate(Withdrawn(state="deleted"))
    play.item(1).on("provider.withdraw", withdraw)
    run = await play.start()
    await until(poll.entered.is_set)
    await run.cancel()
    await until(lambda: play.count("batches.list_started") == 1)
    await until(withdraw.entered.is_set)
    withdraw.opened.set()
    return await _ended(run)


async def batch_started_over_cancelled(theatre: Theatre, sleep: Sleep, __: str) -> Recorded:
    """A cancel of a second run, whose first run's item takes its time to end."""
    play = Episode(theatre, 1)
    poll, withdraw = play.hold_up((1,))[1], Gate(Withdrawn(state="deleted"))
    play.item(1).on("provider.withdraw", withdraw)
    first = await play.start()
    await until(poll.entered.is_set)
    await first.terminate()
    run = await play.start()
    await until(lambda: play.count("batches.look") > 0)
    await run.cancel()
    await until(withdraw.entered.is_set)
    await until(lambda: play.count("batches.list_started") > 1)
    await sleep(timedelta(seconds=10))
    withdraw.opened.set()
    return await _ended(run)


async def batch_started_over(theatre: Theatre, _: Sleep, __: str) -> Recorded:
    """The second run of one that was terminated: an item of the first one's goes on by itself."""
    play = Episode(theatre, 2, max_parallel=1)
    gates = play.hold_up((1,))
    first = await play.start()
    await until(gates[1].entered.is_set)
    await first.terminate()
    run = await play.start()
    await until(lambda: play.count("batches.reserve") == 2)
    gates[1].opened.set()
    return await _ended(run)


async def batch_refused(theatre: Theatre, _: Sleep, __: str) -> Recorded:
    """More than the quota allows: nothing is held, nothing starts."""
    play = Episode(theatre, 2)
    play.instead("batches.reserve", refused(FailureKind.QUOTA_EXCEEDED))
    return await _ended(await play.start())


async def _ended(run: BatchRun) -> BatchRun:
    with suppress(WorkflowFailureError):
        await run.result()
    return run


class _DownAtFirst:
    """A receiver that fails twice, and then has gone or takes everything."""

    def __init__(self, last: Delivery) -> None:
        self._failures = 0
        self._since: datetime | None = None
        self._last = last

    async def __call__(self, _: object) -> Delivery:
        self._failures += 1
        self._since = self._since or activity.info().started_time
        if self._failures > 2:
            return self._last
        return Delivery(
            state="failed",
            delivered_seq=3,
            failures=self._failures,
            failing_since=self._since,
            evidence="it answered with HTTP 503",
        )


async def callbacks(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A receiver that is down at first."""
    done = Delivery(state="done", delivered_seq=10)
    return await _telling(theatre, generation_id, _DownAtFirst(done))


async def callbacks_given_up(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A receiver that has gone."""
    gone = Delivery(state="refused", delivered_seq=3, evidence="it answered with HTTP 410")
    return await _telling(theatre, generation_id, _DownAtFirst(gone))


async def _telling(theatre: Theatre, generation_id: str, receiver: _DownAtFirst) -> Recorded:
    theatre.stagehand.scripts[generation_id] = Script().on("callbacks.deliver", receiver)
    teller = await theatre.client.start_workflow(
        "Callbacks",
        {"generation_id": generation_id},
        id=callbacks_id_for(generation_id),
        task_queue=TaskQueue.GENERATIONS,
    )
    await teller.result()
    return teller


async def sweep(theatre: Theatre, _: Sleep, __: str) -> Recorded:
    """A round of every look, one of which can't be had."""
    sweep_id = "stillmotion-sweep-2026-11-22T12:00:00Z"
    script = Script().on("sweeping.find_strays", refused(FailureKind.PROVIDER_UNREACHABLE))
    theatre.stagehand.scripts[""] = theatre.stagehand.scripts[sweep_id] = script
    run = await theatre.client.start_workflow(
        "Sweep", id=sweep_id, task_queue=TaskQueue.GENERATIONS
    )
    await run.result()
    return run


SCENARIOS: dict[str, Scenario] = {
    play.__name__: play
    for play in (
        *(batch, batch_refused, batch_cancelled, batch_cancelled_slowly),
        *(batch_started_over, batch_started_over_cancelled),
        *(callbacks, callbacks_given_up, sweep),
    )
}

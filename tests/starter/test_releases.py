"""Versions of the workers: what `doctor` says of them, and how one becomes the current one."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from starter.cli.checks import Broken
from starter.cli.version_checks import told
from starter.releases import NotReleasable, Standing, Version, make_current, standing
from tests.starter.conftest import Stack, run_here
from tests.workflows.scripted import Gate, Script
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import Theatre, until, with_namespace
from tests.workflows.versions import Versions, versioned
from workflows.contracts.activities import PredictionEnd
from workflows.contracts.queues import TaskQueue

JUST_NOW = timedelta(seconds=1)


@pytest.fixture
async def versions(
    temporal_server: str, request: pytest.FixtureRequest
) -> AsyncGenerator[Versions]:
    name = f"releases-{request.node.name}"[:60]
    client = await with_namespace(temporal_server, name)
    async with versioned(client, Stagehand(), "releases") as versions:
        yield versions


def a_version(build_id: str = "old", **changes: object) -> Version:
    usual = Version(
        deployment="stillmotion",
        build_id=build_id,
        is_current=False,
        was_current=True,
        polls=True,
        running=0,
        example=None,
    )
    return usual._replace(**changes)


CURRENT = a_version("new", is_current=True)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Standing((), unversioned_polls=True), "the workers have none"),
        (Standing((), unversioned_polls=False), "the workers have none"),
        (Standing((CURRENT,), unversioned_polls=False), "new is current"),
        (
            Standing((CURRENT, a_version(running=3)), unversioned_polls=False),
            "new is current; 3 running on old",
        ),
        (
            Standing((CURRENT, a_version()), unversioned_polls=False),
            "new is current; nothing runs on old, so its workers may be stopped",
        ),
        (
            Standing((CURRENT, a_version("next", was_current=False)), unversioned_polls=False),
            "new is current; next is there, but not released",
        ),
    ],
)
def test_versions_that_are_served_are_fine(found: Standing, sentence: str) -> None:
    assert told(found) == sentence


def test_workflows_whose_version_nobody_serves_are_named_with_two_ways_on() -> None:
    stranded = a_version(polls=False, running=2, example="gen_abc")

    with pytest.raises(Broken) as broken:
        told(Standing((CURRENT, stranded), unversioned_polls=False))

    assert str(broken.value) == "no worker serves 2 running on old, such as gen_abc"
    assert broken.value.repair == (
        "STILLMOTION_BUILD_ID=old stillmotion worker, or move each on:"
        " temporal workflow update-options --workflow-id gen_abc"
        " --versioning-override-behavior one_time"
        " --versioning-override-deployment-name stillmotion --versioning-override-build-id new"
    )


def test_where_no_version_is_left_to_move_to_only_its_own_workers_help() -> None:
    stranded = a_version(polls=False, running=2, example="gen_abc")

    with pytest.raises(Broken) as broken:
        told(Standing((stranded,), unversioned_polls=True))

    assert broken.value.repair == "STILLMOTION_BUILD_ID=old stillmotion worker"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            (a_version("new", was_current=False),),
            "new polls, but none is current: nothing begins",
        ),
        (
            (a_version("old", is_current=True, polls=False), a_version("new")),
            "the current one, old, has no worker: nothing begins",
        ),
    ],
)
def test_where_nothing_new_would_begin_the_repair_is_a_release(
    found: tuple[Version, ...], sentence: str
) -> None:
    with pytest.raises(Broken) as broken:
        told(Standing(found, unversioned_polls=False))

    assert str(broken.value) == sentence
    assert broken.value.repair == "stillmotion release new"


async def test_a_version_that_nobody_serves_any_more_is_known_with_what_waits_for_it(
    versions: Versions,
) -> None:
    theatre = Theatre(versions.client, versions.stagehand)
    build_id = await versions.release()
    poll = Gate(PredictionEnd(state="completed"))
    handle = await theatre.start(Script().on("provider.poll", poll))
    await poll.entered.wait()
    before = await standing(versions.client)
    await versions.stop(build_id)
    await asyncio.sleep(JUST_NOW.total_seconds())
    after = await standing(versions.client, polled_within=JUST_NOW)
    await theatre.clear()

    # The visibility store is told of a start a moment later.
    assert [each.polls for each in before.versions] == [True]
    (version,) = after.versions
    assert (version.polls, version.running, version.example) == (False, 1, handle.id)
    assert version.is_current


async def test_only_a_version_whose_workers_poll_every_queue_becomes_current(
    versions: Versions,
) -> None:
    with pytest.raises(NotReleasable, match="No worker of version build-1 has polled"):
        await make_current(versions.client, "build-1", deployment=versions.deployment)
    first = await versions.release()
    second = await versions.start([TaskQueue.GENERATIONS])

    await until(lambda: _is_known(versions, second))
    with pytest.raises(NotReleasable, match=r"has polled stillmotion-submit, .* yet"):
        await make_current(versions.client, second, deployment=versions.deployment)

    before = await make_current(versions.client, first, deployment=versions.deployment)
    assert before == first


async def _is_known(versions: Versions, build_id: str) -> bool:
    return any(each.build_id == build_id for each in (await standing(versions.client)).versions)


async def test_a_release_without_workers_says_what_to_start(idle_stack: Stack) -> None:
    ran = await run_here(
        "release", "7f3c2a9", "--timeout=0", "--data-dir", str(idle_stack.data_dir)
    )

    assert ran.code == 1
    assert "No worker of version 7f3c2a9 has polled as stillmotion yet." in ran.err
    assert "Nothing has changed." in ran.err
    assert "Start it first: STILLMOTION_BUILD_ID=7f3c2a9 stillmotion worker" in ran.err

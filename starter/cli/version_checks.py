"""What `doctor` says of the workers' versions: nothing may wait for one that nobody serves."""

import shlex
from typing import TYPE_CHECKING

from starter.releases import Standing, Version, standing

if TYPE_CHECKING:
    from temporalio.client import Client


async def versions(temporal: "Client") -> str:
    """How the versions stand, in a sentence.

    Raises:
        Broken: workflows wait for a version without workers, or nothing new begins.
        RPCError: Temporal could not be asked.
    """
    return told(await standing(temporal))


def told(found: Standing) -> str:
    """The sentence; raises as `versions`."""
    from starter.cli.checks import Broken

    if stranded := [one for one in found.versions if one.running and not one.polls]:
        waiting = "; ".join(
            f"{_running(one)} on {one.build_id}, such as {one.example}" for one in stranded
        )
        raise Broken(f"no worker serves {waiting}", _way_on(stranded[0], found))
    current = next((one for one in found.versions if one.is_current), None)
    served = [one for one in found.versions if one.polls]
    if served and current is None and not found.unversioned_polls:
        names = ", ".join(one.build_id for one in served)
        raise Broken(f"{names} polls, but none is current: nothing begins", _release(served[0]))
    if current is not None and not current.polls and served:
        raise Broken(
            f"the current one, {current.build_id}, has no worker: nothing begins",
            _release(served[0]),
        )
    if current is None:
        return "the workers have none"
    others = [_of_another(one) for one in found.versions if one is not current]
    return "; ".join([f"{current.build_id} is current", *others])


def _of_another(version: Version) -> str:
    if version.running:
        return f"{_running(version)} on {version.build_id}"
    if not version.was_current:
        return f"{version.build_id} is there, but not released"
    return f"nothing runs on {version.build_id}, so its workers may be stopped"


def _running(version: Version) -> str:
    return f"{version.running} running"


def _release(version: Version) -> str:
    return shlex.join(("stillmotion", "release", version.build_id))


def _way_on(stranded: Version, found: Standing) -> str:
    """Two ways: workers of the old version, or a newer one, whose code replays the old histories.

    One task there is enough: it is pinned to that version then, and an override that stays would
    hold it back at the next release.
    """
    start = f"STILLMOTION_BUILD_ID={stranded.build_id} stillmotion worker"
    newer = next((one for one in found.versions if one.is_current and one.polls), None)
    if newer is None or stranded.example is None:
        return start
    move = (
        *("temporal", "workflow", "update-options", "--workflow-id", stranded.example),
        *("--versioning-override-behavior", "one_time"),
        *("--versioning-override-deployment-name", newer.deployment),
        *("--versioning-override-build-id", newer.build_id),
    )
    return f"{start}, or move each on: {shlex.join(move)}"

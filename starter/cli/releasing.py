"""A new version of the workers takes over: `release`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from starter.cli.context import Ctx
from starter.cli.refusals import DONE, NotDone

if TYPE_CHECKING:
    from temporalio.client import Client

LOOK_S = 0.5


async def release(
    build_id: Annotated[str, Parameter(help="The STILLMOTION_BUILD_ID of its workers")],
    *,
    deployment: Annotated[
        str | None,
        Parameter(
            env_var="STILLMOTION_DEPLOYMENT_NAME",
            help="The deployment name of its workers [default: stillmotion]",
        ),
    ] = None,
    timeout: Annotated[  # noqa: ASYNC109 - the flag's name
        float, Parameter(help="How long its workers may take to appear, in seconds")
    ] = 30.0,
    ctx: Ctx,
) -> int:
    """Make a version of the workers the current one, as soon as its workers serve every queue.

    New work goes to it, and so do parked generations when they look again.
    What runs is finished by the version that it began with.

    For example: stillmotion release 7f3c2a9
    """
    from starter.places import connect_temporal, find_place
    from starter.releases import DEPLOYMENT, NotReleasable

    deployment = deployment or DEPLOYMENT
    temporal = await connect_temporal(find_place(ctx.data_dir))
    try:
        before = await _once_it_serves(temporal, build_id, deployment, timeout)
    except NotReleasable as error:
        hint = f"Start it first: STILLMOTION_BUILD_ID={build_id} stillmotion worker"
        raise NotDone(f"{error} Nothing has changed.", hint) from error
    document = {"deployment": deployment, "build_id": build_id, "before": before or None}
    ctx.output.value(document, f"{build_id} is current.", bare=build_id)
    if before and before != build_id:
        doctor = ctx.command("doctor")
        ctx.output.note(f"{before} finishes what it began; how much that is: {doctor}")
    return DONE


async def _once_it_serves(
    temporal: "Client", build_id: str, deployment: str, within_s: float
) -> str:
    """Make it current; returns what was before.

    Raises:
        NotReleasable: its workers didn't appear in time.
    """
    from starter.releases import NotReleasable, make_current

    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            return await make_current(temporal, build_id, deployment=deployment)
        except NotReleasable:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(LOOK_S)

"""A new version of the workers takes over: `release`."""

from typing import Annotated

from cyclopts import Parameter

from starter.cli.context import Ctx
from starter.cli.refusals import DONE, NotDone


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
    ctx: Ctx,
) -> int:
    """Make a version of the workers the current one; its workers must run already.

    New work goes to it, and so do parked generations when they look again.
    What runs is finished by the version that it began with.

    For example: stillmotion release 7f3c2a9
    """
    from starter.places import connect_temporal, find_place
    from starter.releases import DEPLOYMENT, NotReleasable, make_current

    deployment = deployment or DEPLOYMENT
    temporal = await connect_temporal(find_place(ctx.data_dir))
    try:
        before = await make_current(temporal, build_id, deployment=deployment)
    except NotReleasable as error:
        hint = f"Start it first: STILLMOTION_BUILD_ID={build_id} stillmotion worker"
        raise NotDone(f"{error} Nothing has changed.", hint) from error
    document = {"deployment": deployment, "build_id": build_id, "before": before or None}
    ctx.output.value(document, f"{build_id} is current.", bare=build_id)
    if before and before != build_id:
        doctor = ctx.command("doctor")
        ctx.output.note(f"{before} finishes what it began; how much that is: {doctor}")
    return DONE

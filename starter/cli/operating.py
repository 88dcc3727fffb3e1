"""An operator's switch: `pause` and `unpause`."""

from datetime import UTC, datetime

from starter.cli.context import Ctx, operators_database
from starter.cli.refusals import DONE

_PAUSE = """
INSERT INTO deployment (name, value) VALUES ('paused', $1) ON CONFLICT (name) DO NOTHING
"""
_UNPAUSE = "DELETE FROM deployment WHERE name = 'paused'"


async def pause(*, ctx: Ctx) -> int:
    """Stop submitting to the provider; what is submitted goes on, new requests wait.

    For example: stillmotion pause
    """
    async with operators_database(ctx) as pool:
        await pool.execute(_PAUSE, datetime.now(UTC).isoformat())
    ctx.output.value({"paused": True}, "Submits are paused.", bare="paused")
    ctx.output.note(f"Go on: {ctx.command('unpause')}")
    return DONE


async def unpause(*, ctx: Ctx) -> int:
    """Submit to the provider again.

    For example: stillmotion unpause
    """
    async with operators_database(ctx) as pool:
        await pool.execute(_UNPAUSE)
    ctx.output.value({"paused": False}, "Submits go on.", bare="unpaused")
    return DONE

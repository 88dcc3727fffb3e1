"""The directed episodes with all guards: nothing breaks."""

import pytest

from tests.chaos.checks import breaches_of
from tests.chaos.episodes import DIRECTED
from tests.chaos.evidence import gather
from tests.chaos.rig import fresh_rig

# Python only, and a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools(), pytest.mark.timeout(300)]


async def test_with_all_guards_no_episode_breaks_anything() -> None:
    async with fresh_rig() as rig:
        for play in DIRECTED.values():
            await play(rig, None)

        assert breaches_of(await gather(rig, [])) == []

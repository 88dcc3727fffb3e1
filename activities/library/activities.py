"""The library's Temporal face."""

from dataclasses import dataclass

from temporalio import activity

from activities.boundary import boundary
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.library import repository as library
from activities.media.inputs import Inputs
from workflows.contracts import activities as contract
from workflows.contracts.activities import Save, Saved
from workflows.contracts.failures import RequestRefused
from workflows.contracts.stories import Scene


@dataclass
class LibraryActivities(contract.Library):
    """What the library needs."""

    pool: Pool
    inputs: Inputs

    @activity.defn(name="library.save")
    @boundary
    async def save(self, task: Save) -> Saved:
        """Record the asset, once per generation."""
        async with self.pool.acquire() as connection:
            work = await generations.work_of(connection, task.generation_id)
        # A scene in the media store is read before the transaction, which holds a lock.
        scene = await self._stored_scene(work)
        async with self.pool.acquire() as connection, connection.transaction():
            asset_id = await library.save(connection, task.generation_id, task.video, scene)
        return Saved(asset_id=asset_id)

    async def _stored_scene(self, work: generations.Work) -> Scene | None:
        """The scene that the request names by media id: its number and title are labels."""
        media_id = work.inputs.get("scene")
        if media_id is None:
            return None
        try:
            told = await self.inputs.told(work.user_id, media_id, "scene")
        except RequestRefused:
            # Gone, or none: a paid video is filed without its number rather than not at all.
            return None
        assert isinstance(told, Scene), "it stands in that role"
        return told

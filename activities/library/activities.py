"""The library's Temporal face."""

from dataclasses import dataclass

from temporalio import activity

from activities.boundary import boundary
from activities.database.pool import Pool
from activities.library import repository as library
from workflows.contracts import activities as contract
from workflows.contracts.activities import Save, Saved


@dataclass
class LibraryActivities(contract.Library):
    """What the library needs."""

    pool: Pool

    @activity.defn(name="library.save")
    @boundary
    async def save(self, task: Save) -> Saved:
        """Record the asset, once per generation."""
        async with self.pool.acquire() as connection, connection.transaction():
            return Saved(asset_id=await library.save(connection, task.generation_id, task.video))

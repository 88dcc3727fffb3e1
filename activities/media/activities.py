"""The files' Temporal face."""

from dataclasses import dataclass

from temporalio import activity

from activities.beating import heartbeats
from activities.boundary import boundary
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.media.downloads import Downloads
from workflows.contracts import activities as contract
from workflows.contracts.activities import Download
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage


@dataclass
class MediaActivities(contract.Media):
    """What the download needs."""

    pool: Pool
    downloads: Downloads

    @activity.defn(name="media.download")
    @boundary
    async def download(self, task: Download) -> StoredVideo:
        """Copy the output into the store and verify it to its last frame."""
        generation_id = task.terms.generation_id
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.record(connection, generation_id, Stage.DOWNLOADING)
        async with heartbeats():
            video = await self.downloads.download(task.terms, task.prediction_id)
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.record(
                connection,
                generation_id,
                Stage.SAVING,
                {"size_bytes": video.facts.size_bytes, "sha256": video.facts.sha256},
            )
        return video

"""The prompt step's Temporal face."""

from dataclasses import dataclass

from temporalio import activity

from activities.boundary import boundary
from activities.database.pool import Pool
from activities.generations import repository as generations
from workflows.contracts import activities as contract
from workflows.contracts.activities import ForGeneration, PromptBuilt
from workflows.contracts.stages import Stage


@dataclass
class PromptActivities(contract.Prompts):
    """What the prompt step needs."""

    pool: Pool

    @activity.defn(name="prompts.build_prompt")
    @boundary
    async def build_prompt(self, task: ForGeneration) -> PromptBuilt:
        """Store the prompt that the model will be given; a repeat finds it stored.

        Image-to-video takes the caller's own words, trimmed.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            work = await generations.work_of(connection, task.generation_id)
            if work.prompt is None:
                prompt = str(work.request["prompt"]).strip()
                await connection.execute(
                    generations.SQL["set_prompt"], task.generation_id, prompt, "caller", []
                )
            await generations.record(connection, task.generation_id, Stage.STAGING)
        return PromptBuilt(prompt_by="caller")

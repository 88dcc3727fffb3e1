"""The prompt step's Temporal face."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.beating import heartbeats
from activities.boundary import boundary
from activities.database.pool import Pool
from activities.database.statements import statements
from activities.generations import repository as generations
from activities.media.inputs import Inputs
from activities.prompts.errors import Busy, NotNow
from activities.prompts.writing import Prompt, Writer, wish_for
from workflows.contracts import activities as contract
from workflows.contracts.activities import ForGeneration, PromptBuilt
from workflows.contracts.requests import parse_request
from workflows.contracts.stages import Stage

SQL = statements("activities.prompts", "queries.sql")

TRIES_MAX = 3
"""How often a busy or absent LLM is asked before a rule makes the prompt: a good few seconds, or up
to two minutes where it asks for these itself. Somebody waits for a video."""


@dataclass
class PromptActivities(contract.Prompts):
    """What the prompt step needs."""

    pool: Pool
    inputs: Inputs
    writer: Writer

    @activity.defn(name="prompts.build_prompt")
    @boundary
    async def build_prompt(self, task: ForGeneration) -> PromptBuilt:
        """Store the prompt that the model will be given; a repeat finds it stored and asks nobody.

        Two attempts at once store one prompt, the first one's; both return that.
        """
        generation_id = task.generation_id
        async with self.pool.acquire() as connection:
            work = await generations.work_of(connection, generation_id)
        made: Prompt | None = None
        if work.prompt is None:
            # No connection is held while the LLM is asked.
            async with heartbeats():
                made = await self._write(work)
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, generation_id)
            if made is not None:
                columns = (made.prompt, made.prompt_by, list(made.warnings))
                await connection.execute(generations.SQL["set_prompt"], generation_id, *columns)
            stored = await connection.fetchrow(SQL["stored"], generation_id)
            assert stored is not None, "a generation with terms stays"
            told = {"prompt_by": stored["prompt_by"]}
            await generations.record(connection, generation_id, Stage.STAGING, told)
        return PromptBuilt(prompt_by=stored["prompt_by"], warnings=tuple(stored["warnings"]))

    async def _write(self, work: generations.Work) -> Prompt:
        terms = work.terms
        wish = await wish_for(
            self.inputs,
            parse_request(work.request),
            duration_s=terms.quote.duration_s,
            characters_max=terms.prompt_characters_max,
        )
        try:
            return await self.writer.write(wish, patient=activity.info().attempt < TRIES_MAX)
        except NotNow as error:
            wait_s = error.retry_after_s
            # No failure kind: it ends no generation, and is no refusal of the user's quota.
            raise ApplicationError(
                str(error),
                type="llm_busy" if isinstance(error, Busy) else "llm_unavailable",
                next_retry_delay=timedelta(seconds=wait_s) if wait_s else None,
            ) from None

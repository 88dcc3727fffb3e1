"""`SceneAnimation`: a scene's picture moves as its story asks.

An LLM writes the prompt from scene and story, once; where none answers, a rule makes one, so that
the scene is animated all the same. The rest is the life of every generation.
"""

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.requests import SceneAnimationRequest
    from workflows.contracts.results import GenerationResult
    from workflows.generation import Generation
    from workflows.intake import NOTHING, parse
    from workflows.submission import submit
    from workflows.waiting import await_video


@workflow.defn(name="SceneAnimation")
class SceneAnimation(Generation):
    """One scene animation; the workflow id is the generation id."""

    # `OneInput.__new__` takes any number of inputs, to refuse what this signature would choke on.
    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        self.begin(parse(raw, SceneAnimationRequest))

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> GenerationResult:  # noqa: ARG002 - parsed in init
        """Make the video, or end as failed or cancelled with what happened to the money."""
        async with self.to_a_booked_end():
            terms = await self.reserve()
            await self.build_prompt("an LLM writes the prompt from scene and story")
            await self.stage_inputs()
            prediction_id = await submit(self)
            video = await await_video(self, terms, prediction_id)
            asset_id = await self.save(video)
            return await self.record_usage(terms, video, asset_id)

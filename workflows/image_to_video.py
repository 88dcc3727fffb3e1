"""`ImageToVideo`: a picture and a prompt become a video.

Up to the submission an end costs nothing. From there on only the provider's own word, a person or
the end of the provider's retention ends it without a video; everything else waits.
"""

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.requests import ImageToVideoRequest
    from workflows.contracts.results import GenerationResult
    from workflows.generation import Generation
    from workflows.intake import NOTHING, parse
    from workflows.submission import submit
    from workflows.waiting import await_video


@workflow.defn(name="ImageToVideo")
class ImageToVideo(Generation):
    """One image-to-video generation; the workflow id is the generation id."""

    # `OneInput.__new__` takes any number of inputs, to refuse what this signature would choke on.
    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        self.begin(parse(raw, ImageToVideoRequest))

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> GenerationResult:  # noqa: ARG002 - parsed in init
        """Make the video, or end as failed or cancelled with what happened to the money."""
        async with self.to_a_booked_end():
            terms = await self.reserve()
            await self.build_prompt("the caller's prompt", local=True)
            await self.stage_inputs()
            prediction_id = await submit(self)
            video = await await_video(self, terms, prediction_id)
            asset_id = await self.save(video)
            return await self.record_usage(terms, video, asset_id)

"""`ImageToVideo`: a picture and a prompt become a video.

1. reserve: check the inputs and hold the quota      5. wait for the provider's job
2. build the prompt                                  6. download and verify the video
3. stage the inputs at the provider                  7. save the asset
4. submit the one paid job                           8. record the usage

Up to the fourth step an end costs nothing. From there on only the provider's own word, a person or
the end of the provider's retention ends it without a video; everything else waits.
"""

import asyncio

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.requests import ImageToVideoRequest
    from workflows.contracts.results import GenerationResult
    from workflows.generation import Ended, Generation
    from workflows.intake import NOTHING, parse
    from workflows.submission import submit
    from workflows.waiting import await_completion, fetch_video


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
        try:
            terms = await self.reserve()
            self.stop_if_cancelled()
            await self.build_prompt()
            await self.stage_inputs()
            prediction_id = await submit(self)
            await await_completion(self, terms, prediction_id)
            video = await fetch_video(self, terms, prediction_id)
            asset_id = await self.save(video)
            return await self.record_usage(terms, video, asset_id)
        except (Ended, ActivityError, asyncio.CancelledError) as error:
            raise await self.close(self.ended_by(error)) from None

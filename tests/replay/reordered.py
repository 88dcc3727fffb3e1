"""`ImageToVideo` with two steps the wrong way round, or one left out: what replay must notice."""

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.requests import ImageToVideoRequest
    from workflows.generation import Generation
    from workflows.intake import NOTHING, parse


@workflow.defn(name="ImageToVideo")
class Reordered(Generation):
    """Stages the inputs before the prompt is built."""

    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        self.begin(parse(raw, ImageToVideoRequest))

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> None:  # noqa: ARG002 - as the real one
        await self.reserve()
        await self.stage_inputs()
        await self.build_prompt("the prompt")


@workflow.defn(name="ImageToVideo")
class Untold(Generation):
    """Tells no callback_url."""

    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        self.begin(parse(raw, ImageToVideoRequest))
        self.tells = True

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> None:  # noqa: ARG002 - as the real one
        await self.reserve()
        await self.build_prompt("the prompt")

"""Workflows that do what ours do with a trace: continue as new, start children, batches of them."""

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn(name="small.step")
async def step() -> str:
    return "done"


async def take_a_step() -> None:
    await workflow.execute_activity(
        "small.step", schedule_to_close_timeout=timedelta(seconds=10), result_type=str
    )


@workflow.defn(name="Small")
class Small:
    @workflow.run
    async def run(self, runs_left: int) -> None:
        await take_a_step()
        if runs_left:
            workflow.continue_as_new(runs_left - 1)
        await workflow.execute_child_workflow("Leaf", id=f"leaf-of-{workflow.info().workflow_id}")


@workflow.defn(name="Leaf")
class Leaf:
    @workflow.run
    async def run(self) -> None:
        await take_a_step()


@workflow.defn(name="Batch")
class Batch:
    @workflow.run
    async def run(self) -> None:
        own_id = workflow.info().workflow_id
        for number in range(2):
            await workflow.execute_child_workflow("Leaf", id=f"{own_id}-{number}")

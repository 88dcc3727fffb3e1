"""A program that traces, has the smallest workflow done and ends as any program does."""

import asyncio
import sys
import uuid
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.tracing.interceptors import trace_interceptors
from tests.observability.small_workflows import Leaf, step
from workers.pools import RUNNER


async def main(server: str, namespace: str) -> None:
    interceptors = trace_interceptors()
    sys.stdout.write("traced\n" if interceptors else "untraced\n")
    client = await Client.connect(server, namespace=namespace, interceptors=interceptors)
    queue = f"program-{uuid.uuid4().hex[:8]}"
    async with Worker(
        client, task_queue=queue, workflows=[Leaf], activities=[step], workflow_runner=RUNNER
    ):
        await client.execute_workflow(
            "Leaf", id=queue, task_queue=queue, execution_timeout=timedelta(seconds=20)
        )
    sys.stdout.write("done\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

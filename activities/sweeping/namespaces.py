"""Whether this Temporal is the one where the database's workflows run.

A worker with the right database and the wrong `TEMPORAL_ADDRESS` or `TEMPORAL_NAMESPACE` knows of
no workflow, which looks just like a Temporal that has lost them all. So the first sweep writes down
which namespace it saw, by name and id, and who sees another one ends nothing.
"""

from datetime import timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from activities.database.pool import Pool
from activities.sweeping.turns import SQL


async def why_elsewhere(pool: Pool, temporal: Client, rpc_timeout: timedelta) -> str | None:
    """Why what `temporal` doesn't know may well run, and what to do; None where it is the same.

    Raises:
        RPCError: Temporal gave no answer.
    """
    described = await temporal.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=temporal.namespace), retry=True, timeout=rpc_timeout
    )
    seen = f"{temporal.namespace} ({described.namespace_info.id})"
    await pool.execute(SQL["adopt_namespace"], seen)
    known: str = await pool.fetchval(SQL["namespace"])
    if known == seen:
        return None
    return (
        f"The workflows of this database run in Temporal namespace {known}, and this worker sees"
        f" {seen}: nobody was restarted or released. Start the worker with the TEMPORAL_ADDRESS and"
        " TEMPORAL_NAMESPACE of the others. If that Temporal is lost for good, with its data:"
        " stillmotion sweep --accept-namespace"
    )

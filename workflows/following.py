"""`Batch` and `Callbacks` as versioned workers run them: by the current version, task by task.

A generation is pinned to the version that it began with. These two may outlast several, since they
wait for generations, and a parked one may take days; the histories in `tests/replay` are what keeps
a new version from breaking them. Workers without versions must not name a behaviour at all: hence
classes of their own, of the same names on the wire.
"""

from temporalio import workflow
from temporalio.common import RawValue, VersioningBehavior

with workflow.unsafe.imports_passed_through():
    from workflows.batch import Batch
    from workflows.callbacks import Callbacks
    from workflows.contracts import batches, callbacks
    from workflows.contracts.batches import BatchResult
    from workflows.contracts.callbacks import CallbacksEnd
    from workflows.intake import NOTHING


@workflow.defn(name=batches.WORKFLOW_TYPE, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class FollowingBatch(Batch):
    """A batch that goes on with the current version."""

    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        super().__init__(raw)

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> BatchResult:
        """As `Batch`."""
        return await super().run(raw)


@workflow.defn(name=callbacks.WORKFLOW_TYPE, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class FollowingCallbacks(Callbacks):
    """A teller that goes on with the current version."""

    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        super().__init__(raw)

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> CallbacksEnd:
        """As `Callbacks`."""
        return await super().run(raw)

"""The corpus is worth something: replay notices every step that is swapped or left out."""

import itertools
import os

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from tests.replay.mutants import Mutant, alive, mutants, tree_of
from tests.replay.record import all_records
from workflows.contracts.requests import WORKFLOW_TYPES

GENERATIONS = set(WORKFLOW_TYPES.values())
OF_MODULE = {
    "workflows.image_to_video": {"ImageToVideo"},
    "workflows.scene_animation": {"SceneAnimation"},
    "workflows.talking_avatar": {"TalkingAvatar"},
    "workflows.batch": {"Batch"},
}
"""Whose histories a module's change may show in; those of all operations where none is named."""

EVERY = 1 if os.environ.get("STILLMOTION_EVIDENCE") == "1" else 3
"""Of so many mutants one is played."""

MUTANTS_MIN = 50 // EVERY


@pytest.mark.slow
async def test_replay_notices_every_step_that_is_swapped_or_left_out() -> None:
    # The short ones first: most mutants fail in every history.
    records = sorted(all_records(), key=lambda record: len(record.history.events))
    survivors: list[str] = []
    killed = 0
    for mutant in itertools.islice(mutants(), 0, None, EVERY):
        types = OF_MODULE.get(mutant.module, GENERATIONS)
        histories = [record.history for record in records if record.workflow_type in types]
        if await _is_noticed(mutant, histories):
            killed += 1
        else:
            survivors.append(str(mutant))

    assert survivors == []
    assert killed >= MUTANTS_MIN


async def test_what_is_not_changed_is_not_taken_for_a_mutant() -> None:
    records = [record for record in all_records() if record.workflow_type in GENERATIONS]
    unchanged = next(mutants())
    unchanged = unchanged._replace(source=tree_of(unchanged.module))

    assert not await _is_noticed(unchanged, [record.history for record in records])


async def _is_noticed(mutant: Mutant, histories: list[WorkflowHistory]) -> bool:
    """Whether some history does not replay with it."""
    with alive(mutant) as modules:
        workflows = [
            modules["workflows.image_to_video"].ImageToVideo,
            modules["workflows.scene_animation"].SceneAnimation,
            modules["workflows.talking_avatar"].TalkingAvatar,
            modules["workflows.batch"].Batch,
        ]
        replayer = Replayer(
            workflows=workflows,
            workflow_runner=UnsandboxedWorkflowRunner(),
            data_converter=pydantic_data_converter,
        )
        for history in histories:
            replayed = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if replayed.replay_failure is not None:
                return True
    return False

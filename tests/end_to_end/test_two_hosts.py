"""Two worker hosts that share no disk, and one that dies in the middle of its work."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from namespaces import machines
from stacks import REPOSITORY

from tests.s3 import MEDIA_URL
from workers.embedded.children import start_child

GENERATIONS = 100
PROGRAM = Path(__file__).with_name("two_hosts_program.py")


@pytest.mark.slow
@pytest.mark.tools("root")
@pytest.mark.timeout(600)
async def test_two_hosts_without_a_shared_disk_finish_everything_though_one_is_killed(
    tmp_path: Path,
) -> None:
    report = tmp_path / "report.json"

    async with machines("services", "a", "b") as (services, a, b):
        argv = (PROGRAM, report, services.address, GENERATIONS, a.name, b.name)
        program = await start_child(
            services.entering(sys.executable, *map(str, argv)),
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            log_path=tmp_path / "program.log",
            stop_signal=signal.SIGINT,
            cwd=tmp_path,
        )
        try:
            code = await program.wait()
        finally:
            await program.stop()

    assert code == 0, program.log_tail()
    told = json.loads(report.read_text())
    every = {"1": GENERATIONS}
    assert told["statuses"] == {"completed": GENERATIONS}
    assert told["predictions"] == every
    assert told["predictions_in_all"] == GENERATIONS
    assert told["settlements"] == every
    assert told["places"] == [MEDIA_URL]
    assert told["files_as_recorded"] == GENERATIONS
    # Else nothing was shown: both worked, and the killed one was at work.
    assert told["completed_when_killed"] < GENERATIONS
    assert told["held_when_killed"] > 1
    assert told["steps_done"].keys() == {"host-a", "host-b"}

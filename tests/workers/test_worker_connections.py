"""A worker whose slots could hold all of its database connections is refused before it starts."""

import os
import subprocess
import sys

import pytest

from workers.wiring import Settings, TooFewConnections, require_connections
from workflows.contracts.queues import TaskQueue

DATABASE_URL = "postgresql://nobody@127.0.0.1:1/nothing"


def settings_with(monkeypatch: pytest.MonkeyPatch, connections_max: int | None = None) -> Settings:
    monkeypatch.setenv("STILLMOTION_DATABASE_URL", DATABASE_URL)
    monkeypatch.setenv("STILLMOTION_MEDIA_URL", "file:///nowhere")
    if connections_max is not None:
        monkeypatch.setenv("STILLMOTION_DATABASE_CONNECTIONS_MAX", str(connections_max))
    return Settings()


def test_a_worker_without_settings_of_its_own_has_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    require_connections(settings_with(monkeypatch), list(TaskQueue))


@pytest.mark.parametrize(
    ("queues", "needed"),
    [
        (list(TaskQueue), 8 + 4 + 3),
        ([TaskQueue.SUBMIT], 8 + 3),
        ([TaskQueue.RECONCILE, TaskQueue.POLL], 4 + 3),
    ],
    ids=["all queues", "submits", "doubts"],
)
def test_each_slot_that_holds_a_connection_needs_one_and_some_are_spare(
    monkeypatch: pytest.MonkeyPatch, queues: list[TaskQueue], needed: int
) -> None:
    require_connections(settings_with(monkeypatch, needed), queues)

    with pytest.raises(TooFewConnections, match=f"allowed are {needed} and more"):
        require_connections(settings_with(monkeypatch, needed - 1), queues)


def test_where_no_slot_holds_one_any_number_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    queues = [TaskQueue.GENERATIONS, TaskQueue.POLL, TaskQueue.MEDIA]

    require_connections(settings_with(monkeypatch, 1), queues)


def test_a_worker_that_is_refused_says_what_to_set_and_exits_with_2() -> None:
    environment = os.environ | {
        "STILLMOTION_DATABASE_URL": DATABASE_URL,
        "STILLMOTION_MEDIA_URL": "file:///nowhere",
        "STILLMOTION_DATABASE_CONNECTIONS_MAX": "4",
    }

    ended = subprocess.run(
        [sys.executable, "-m", "workers", "worker"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        "STILLMOTION_DATABASE_CONNECTIONS_MAX: it is 4; allowed are 15 and more: one for each slot"
        " (STILLMOTION_SUBMIT_SLOTS is 8, STILLMOTION_RECONCILE_SLOTS is 4) and 3 beside them."
        " Nothing was started or charged. Raise it, or lower the slots."
    )

"""One data directory, one stack."""

import os
import signal
import stat
from pathlib import Path

import pytest

from workers.embedded.children import Inheritance, start_child
from workers.embedded.errors import DataDirectoryBusy, DataDirectoryUnusable
from workers.embedded.locking import DataDirectory, is_running, running_pid


async def test_a_new_data_directory_is_private(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        assert stat.S_IMODE(data_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(directory.folder("run").stat().st_mode) == 0o700


async def test_an_existing_folder_keeps_its_mode(data_path: Path) -> None:
    data_path.mkdir()
    data_path.chmod(0o755)

    async with DataDirectory(data_path):
        assert stat.S_IMODE(data_path.stat().st_mode) == 0o755


async def test_a_second_holder_is_refused_with_the_pid_of_the_first(data_path: Path) -> None:
    async with DataDirectory(data_path):
        with pytest.raises(DataDirectoryBusy, match=rf"process {os.getpid()}\b") as refusal:
            await DataDirectory(data_path).__aenter__()

    assert refusal.value.pid == os.getpid()


async def test_a_released_data_directory_can_be_taken_again(data_path: Path) -> None:
    async with DataDirectory(data_path):
        pass

    async with DataDirectory(data_path):
        assert running_pid(data_path) == os.getpid()


async def test_others_see_whether_a_data_directory_is_in_use(data_path: Path) -> None:
    assert not is_running(data_path)

    async with DataDirectory(data_path):
        assert is_running(data_path)
        assert running_pid(data_path) == os.getpid()

    assert not is_running(data_path)
    assert running_pid(data_path) is None


async def test_looking_makes_no_folder(data_path: Path) -> None:
    is_running(data_path)

    assert not data_path.exists()


async def test_the_lock_lasts_as_long_as_a_child_that_inherited_it(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        child = await start_child(
            ["/bin/sleep", "300"],
            env={},
            log_path=directory.log_path("sleep"),
            stop_signal=signal.SIGTERM,
            cwd=Path("/"),
            inherit=Inheritance(fds=(directory.lock_fd,)),
        )
    still_held = is_running(data_path)
    await child.stop()

    assert still_held
    assert not is_running(data_path)


async def test_an_heir_of_a_dead_holder_is_named(
    data_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.embedded.locking.LEFTOVERS_GRACE_S", 0.1)
    async with DataDirectory(data_path) as directory:
        child = await start_child(
            ["/bin/sleep", "300"],
            env={},
            log_path=directory.log_path("sleep"),
            stop_signal=signal.SIGTERM,
            cwd=Path("/"),
            inherit=Inheritance(fds=(directory.lock_fd,)),
        )

    with pytest.raises(DataDirectoryBusy) as refusal:
        await DataDirectory(data_path).__aenter__()
    await child.stop()

    assert refusal.value.pid == child.pid


async def test_a_file_in_place_of_the_folder_is_refused(data_path: Path) -> None:
    data_path.write_text("not a folder")

    with pytest.raises(DataDirectoryUnusable, match="--data-dir"):
        await DataDirectory(data_path).__aenter__()

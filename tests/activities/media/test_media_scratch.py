"""Files on their way: taken without a second copy, and cleaned up after whoever was killed."""

import asyncio
import errno
import os
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from activities.media.errors import StoreFull
from activities.media.scratch import scratch_folder, sweep_scratch
from activities.media.store import MediaStore, input_key

OWNER = "0123abcd" * 4
KEY = input_key(OWNER, "0a" * 32)
HOLDER = textwrap.dedent("""
    import pathlib, sys
    from activities.media.scratch import scratch_folder

    with scratch_folder(pathlib.Path(sys.argv[1])) as folder:
        (folder / "film.mp4").write_bytes(b"half")
        print(folder, flush=True)
        sys.stdin.read()
""")


@pytest.fixture(autouse=True)
def system_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's place for temporary files: other processes have theirs in the real one."""
    folder = tmp_path / "system"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def store(root: Path) -> MediaStore:
    return MediaStore.from_url(root.as_uri())


async def test_a_file_from_the_stores_scratch_is_taken_not_copied(
    store: MediaStore, root: Path
) -> None:
    with store.scratch() as folder:
        source = folder / "film.mp4"
        source.write_bytes(b"film")

        await store.put_file(source, KEY, mime_type="video/mp4")

        assert (root / KEY).samefile(source)
    assert (root / KEY).read_bytes() == b"film"
    assert [path.name for path in root.iterdir()] == ["inputs"]


async def test_a_file_from_elsewhere_is_copied_since_its_owner_may_change_it(
    store: MediaStore, root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "photo"
    source.write_bytes(b"photo")

    await store.put_file(source, KEY, mime_type="image/png")
    source.write_bytes(b"other")

    assert (root / KEY).read_bytes() == b"photo"


async def test_a_taken_file_is_on_disk_before_its_name_and_the_folders_after_it(
    store: MediaStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, bool]] = []
    fsync = os.fsync

    def seen(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), (root / KEY).exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    with store.scratch() as folder:
        source = folder / "film.mp4"
        source.write_bytes(b"film")

        await store.put_file(source, KEY, mime_type="video/mp4")

    folders = [root / "inputs" / OWNER, root / "inputs", root]
    assert synced == [(source, False), *((folder, True) for folder in folders)]


async def test_taking_a_file_again_replaces_it_and_makes_it_new(
    store: MediaStore, root: Path
) -> None:
    with store.scratch() as folder:
        source = folder / "film.mp4"
        source.write_bytes(b"film")
        await store.put_file(source, KEY, mime_type="video/mp4")
        os.utime(source, (0, 0))

        await store.put_file(source, KEY, mime_type="video/mp4")

    head = await store.head(KEY)
    assert head
    assert head.modified_at.year > 1970
    assert [path.name for path in (root / KEY).parent.iterdir()] == [(root / KEY).name]


async def test_where_a_file_system_has_no_links_the_file_is_copied(
    store: MediaStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with store.scratch() as folder:
        source = folder / "film.mp4"
        source.write_bytes(b"film")

        await store.put_file(source, KEY, mime_type="video/mp4")

        assert not (root / KEY).samefile(source)
    assert (root / KEY).read_bytes() == b"film"


async def test_files_on_their_way_are_in_no_list(store: MediaStore) -> None:
    await store.put_bytes(b"x", KEY, mime_type="image/png")

    with store.scratch() as folder:
        (folder / "film.mp4").write_bytes(b"half")
        listed = [stored.key async for stored in store.list()]

    assert listed == [KEY]


async def test_a_killed_process_s_folder_is_swept_and_a_living_ones_kept(
    store: MediaStore, root: Path
) -> None:
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(root), stdin=pipe, stdout=pipe
    )
    assert holder.stdout
    folder = Path((await holder.stdout.readline()).decode().strip())

    swept_alive = await store.sweep_scratch()
    assert (folder / "film.mp4").exists()
    holder.kill()
    await holder.communicate()
    swept_dead = await store.sweep_leftovers(older_than_s=3600)

    assert (swept_alive, swept_dead) == (0, 1)
    assert not folder.exists()


async def test_bytes_of_a_killed_caller_are_swept_from_the_systems_place_too(
    store: MediaStore, root: Path, system_folder: Path
) -> None:
    for parent in (root, system_folder):
        (parent / ".stillmotion-incoming-dead").mkdir()

    assert await store.sweep_scratch() == 2


async def test_a_store_in_a_bucket_keeps_its_scratch_where_the_system_says(
    bucket: MediaStore, system_folder: Path
) -> None:
    (system_folder / ".stillmotion-incoming-dead").mkdir()

    with bucket.scratch() as folder:
        swept = await bucket.sweep_leftovers(0)
        left = list(system_folder.iterdir())

    assert swept == 1
    assert left == [folder]


def test_what_only_looks_like_ours_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "photo").touch()
    (tmp_path / ".stillmotion-incoming-link").symlink_to(elsewhere)
    (tmp_path / ".stillmotion-incoming-file").touch()

    assert sweep_scratch(tmp_path) == 0
    assert (elsewhere / "photo").exists()


def test_a_folder_is_gone_after_its_block_however_that_ends(system_folder: Path) -> None:
    def work() -> None:
        with scratch_folder() as folder:
            (folder / "film.mp4").touch()
            raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        work()

    assert list(system_folder.iterdir()) == []


async def test_a_full_disk_is_told_before_anything_is_fetched(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkdtemp", full)

    with pytest.raises(StoreFull, match="could not make a folder for a file: the disk is full"):
        store.scratch().__enter__()

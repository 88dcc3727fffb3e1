import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.media.errors import NotStored, StoreFull, StoreUnavailable
from activities.media.store import MediaStore, input_key

OWNER = "0123abcd" * 4
KEY = input_key(OWNER, "0a" * 32)
OTHER_KEY = input_key(OWNER, "0b" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "a folder with blanks" / "media"


@pytest.fixture
def store(root: Path) -> MediaStore:
    return MediaStore.from_url(root.as_uri())


async def read(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def test_a_stored_file_is_found_whole_under_its_key(
    store: MediaStore, root: Path, examples: Path, tmp_path: Path
) -> None:
    portrait = examples / "portrait.jpg"

    await store.put_file(portrait, KEY, mime_type="image/jpeg")

    head = await store.head(KEY)
    assert head
    assert (head.key, head.size_bytes) == (KEY, portrait.stat().st_size)
    assert head.modified_at.utcoffset() is not None
    assert await read(store.stream(KEY, 1000)) == portrait.read_bytes()
    await store.fetch_to(KEY, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == portrait.read_bytes()
    assert store.local_path(KEY) == root / KEY
    assert store.url(KEY) == (root / KEY).as_uri()


async def test_the_same_key_may_be_written_again(store: MediaStore) -> None:
    await store.put_bytes(b"same", KEY, mime_type="image/png")
    await store.put_bytes(b"same", KEY, mime_type="image/png")

    assert await read(store.stream(KEY)) == b"same"


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(0, None, b"0123456789"), (3, None, b"3456789"), (2, 5, b"234")]
)
async def test_a_part_of_an_object_can_be_read(
    store: MediaStore, start: int, end: int | None, expected: bytes
) -> None:
    await store.put_bytes(b"0123456789", KEY, mime_type="video/mp4")

    assert await read(store.stream(KEY, start=start, end=end)) == expected


async def test_a_file_and_all_its_new_folders_are_synced_before_it_counts_as_stored(
    store: MediaStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def seen(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)

    await store.put_bytes(b"x", KEY, mime_type="image/png")

    assert synced == [root / KEY, root / "inputs" / OWNER, root / "inputs", root]


async def test_what_is_not_there_is_said_so_by_name(store: MediaStore, tmp_path: Path) -> None:
    copy = tmp_path / "copy"

    assert await store.head(KEY) is None
    with pytest.raises(NotStored):
        await read(store.stream(KEY))
    with pytest.raises(NotStored):
        await store.fetch_to(KEY, copy)
    assert not copy.exists()


async def test_deleting_twice_is_fine(store: MediaStore) -> None:
    await store.put_bytes(b"x", KEY, mime_type="image/png")

    await store.delete(KEY)
    await store.delete(KEY)

    assert await store.head(KEY) is None


async def test_a_list_holds_what_lies_below_the_prefix_and_nothing_half_written(
    store: MediaStore, root: Path
) -> None:
    for key in (KEY, OTHER_KEY, input_key("f" * 8, "0a" * 32)):
        await store.put_bytes(b"x", key, mime_type="image/png")
    (root / f"{KEY}#1").write_bytes(b"half")

    listed = [stored.key async for stored in store.list(f"inputs/{OWNER}")]

    assert sorted(listed) == [KEY, OTHER_KEY]


async def test_old_leftovers_of_killed_writers_are_swept_and_young_ones_kept(
    store: MediaStore, root: Path
) -> None:
    await store.put_bytes(b"x", KEY, mime_type="image/png")
    old, young = root / f"{KEY}#1", root / f"{KEY}#2"
    for leftover in (old, young):
        leftover.write_bytes(b"half")
    os.utime(old, (0, 0))

    swept = await store.sweep_leftovers(older_than_s=3600)

    assert swept == 1
    assert not old.exists()
    assert young.exists()
    assert await store.head(KEY)


async def test_a_folder_that_goes_while_leftovers_are_looked_for_is_passed_over(
    store: MediaStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_bytes(b"x", KEY, mime_type="image/png")
    old, going = root / f"{KEY}#1", root / "outputs" / "going"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    going.mkdir(parents=True)
    listing = os.scandir

    def listed(path: str | Path) -> object:
        if Path(path) == going:
            going.rmdir()
        return listing(path)

    monkeypatch.setattr(os, "scandir", listed)

    assert await store.sweep_leftovers(older_than_s=3600) == 1
    assert not going.exists()


async def test_what_lies_in_a_living_scratch_folder_is_no_leftover(store: MediaStore) -> None:
    with store.scratch() as folder:
        film = folder / "film#1"
        film.write_bytes(b"half")
        os.utime(film, (0, 0))

        assert await store.sweep_leftovers(older_than_s=3600) == 0
        assert film.exists()


@pytest.mark.parametrize("key", ["../escape", "/etc/passwd", "a#1", ""])
async def test_no_method_takes_what_is_no_key(store: MediaStore, key: str) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        await store.put_bytes(b"x", key, mime_type="image/png")
    with pytest.raises(ValueError, match="not an object key"):
        await store.head(key)
    with pytest.raises(ValueError, match="not an object key"):
        await store.delete(key)
    with pytest.raises(ValueError, match="not an object key"):
        store.local_path(key)
    with pytest.raises(ValueError, match="not an object key"):
        store.url(key)
    with pytest.raises(ValueError, match="not an object key"):
        await read(store.stream(key))


async def test_a_folder_in_the_way_makes_the_store_unavailable_without_showing_a_path(
    store: MediaStore, root: Path
) -> None:
    (root / KEY).mkdir(parents=True)
    (root / KEY / "child").touch()

    with pytest.raises(StoreUnavailable) as caught:
        await store.put_bytes(b"x", KEY, mime_type="image/png")

    assert str(root) not in str(caught.value)


async def test_a_missing_source_is_the_callers_mistake(store: MediaStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await store.put_file(tmp_path / "nowhere", KEY, mime_type="image/png")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "media",
        "file:media",
        "file:///",
        "file://host/media",
        "ftp://host/x",
        "s3://",
        "http://h/x",
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="file:///folder"):
        MediaStore.from_url(url)


async def test_a_full_disk_is_told_from_other_failures(tmp_path: Path) -> None:
    program = tmp_path / "fill.py"
    program.write_text(
        textwrap.dedent(f"""
            import asyncio, pathlib, sys
            from activities.media.errors import StoreFull
            from activities.media.store import MediaStore

            source = pathlib.Path(sys.argv[1]) / "source"
            source.write_bytes(bytes(3_000_000))
            store = MediaStore.from_url((pathlib.Path(sys.argv[1]) / "full").as_uri())
            try:
                asyncio.run(store.put_file(source, {KEY!r}, mime_type="video/mp4"))
            except StoreFull as error:
                print(error)
        """)
    )
    full = tmp_path / "full"
    full.mkdir()
    script = (
        f"mount -t tmpfs -o size=1m tmpfs '{full}' && '{sys.executable}' '{program}' '{tmp_path}'"
    )
    unshare = shutil.which("unshare")
    if not unshare:
        pytest.skip("no unshare to mount a small disk with")
    command = [unshare, "--map-root-user", "--mount", "sh", "-c", script]

    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )

    if "ermission" in ran.stderr or "not permitted" in ran.stderr:
        pytest.skip("mounting a small disk is not permitted here")
    assert ran.stdout == "could not store a file: the media store is full\n", ran.stderr


async def test_a_copy_that_finds_the_local_disk_full_says_so_and_leaves_nothing(
    store: MediaStore, tmp_path: Path
) -> None:
    await store.put_bytes(bytes(3_000_000), KEY, mime_type="video/mp4")
    copy = tmp_path / "copy"
    copy.symlink_to("/dev/full")

    with pytest.raises(StoreFull):
        await store.fetch_to(KEY, copy)

    assert not copy.is_symlink()


@pytest.mark.slow
async def test_storing_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    source = tmp_path / "large"
    with source.open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1_000_000))
    program = textwrap.dedent(f"""
        import asyncio, pathlib, resource, sys
        from activities.media.store import MediaStore

        async def main():
            store = MediaStore.from_url(pathlib.Path(sys.argv[2]).as_uri())
            await store.put_bytes(b"warm", {OTHER_KEY!r}, mime_type="video/mp4")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await store.put_file(pathlib.Path(sys.argv[1]), {KEY!r}, mime_type="video/mp4")
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

        asyncio.run(main())
    """)
    command = [sys.executable, "-c", program, str(source), str(tmp_path / "media")]

    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )

    assert int(ran.stdout) * 1024 < 64 * 1024**2
    assert (tmp_path / "media" / KEY).stat().st_size == 300_000_000

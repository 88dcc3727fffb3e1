"""The payload keys of `stillmotion dev`: the data directory keeps every key it was ever given."""

import asyncio
import base64
import os
import stat
import sys
from pathlib import Path

import pytest

from activities.encryption.keys import KeysUnusable, parse_keys
from workers.embedded.locking import DataDirectory
from workers.kept_keys import PAYLOAD_KEYS_FILE, payload_keys

OLD, NEW = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


async def kept(data_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None) -> str | None:
    """What the file holds after a start with `given` in the environment."""
    monkeypatch.delenv("STILLMOTION_PAYLOAD_KEYS_FILE", raising=False)
    monkeypatch.delenv("STILLMOTION_PAYLOAD_KEYS", raising=False)
    if given is not None:
        monkeypatch.setenv("STILLMOTION_PAYLOAD_KEYS", given)
    async with DataDirectory(data_path) as directory:
        path = payload_keys(directory)
    if path is None:
        return None
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    return Path(path).read_text()


async def test_a_start_with_other_keys_keeps_the_old_ones_behind_them(
    data_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(data_path, monkeypatch, f"k1:{OLD}")

    text = await kept(data_path, monkeypatch, f"k2:{NEW}")

    assert text is not None
    assert parse_keys(text).first == "k2"
    assert set(parse_keys(text).ciphers) == {"k1", "k2"}


async def test_encryption_is_turned_off_and_on_again_with_every_key_kept(
    data_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in (f"k1:{OLD}", "none", f"k2:{NEW},k1:{OLD}"):
        await kept(data_path, monkeypatch, given)

    assert await kept(data_path, monkeypatch, None) == f"k2:{NEW},k1:{OLD}\n"


async def test_a_stack_that_was_never_given_a_key_has_none(
    data_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await kept(data_path, monkeypatch, None) is None


async def test_dev_with_another_key_under_a_kept_id_starts_nothing_and_tells_how_to_rotate(
    data_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(data_path, monkeypatch, f"k1:{OLD}")
    before = sorted(data_path.iterdir())

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", "dev", f"--data-dir={data_path}"),
        env=dict(os.environ) | {"STILLMOTION_PAYLOAD_KEYS": f"k1:{NEW}"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said = (await asyncio.wait_for(process.communicate(), 60))[1].decode()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()

    assert process.returncode == 2
    assert "STILLMOTION_PAYLOAD_KEYS: the key given as 'k1' is not the one that is kept" in said
    assert "Nothing was started, changed or charged." in said
    assert "NEW_ID:BASE64" in said
    assert NEW not in said
    assert OLD not in said
    assert sorted(data_path.iterdir()) == before
    assert (data_path / PAYLOAD_KEYS_FILE).read_text("ascii") == f"k1:{OLD}\n"


@pytest.mark.parametrize(
    "given", [f"k1:{NEW}", f"k2:{OLD},k1:{NEW}"], ids=["alone", "behind another"]
)
async def test_a_file_with_another_key_under_a_kept_id_is_refused(
    data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    await kept(data_path, monkeypatch, f"k1:{OLD}")
    monkeypatch.delenv("STILLMOTION_PAYLOAD_KEYS")
    path = tmp_path / "keys"
    monkeypatch.setenv("STILLMOTION_PAYLOAD_KEYS_FILE", str(path))

    async with DataDirectory(data_path) as directory:
        path.write_text(f"k2:{NEW},k1:{OLD}")
        taken = payload_keys(directory)
        path.write_text(given)
        with pytest.raises(KeysUnusable, match=r"_KEYS_FILE: the key given as 'k1'"):
            payload_keys(directory)

    assert taken == str(path)


async def test_a_kept_file_that_was_damaged_is_named_and_left_as_it_is(
    data_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(data_path, monkeypatch, f"k1:{OLD}")
    path = data_path / PAYLOAD_KEYS_FILE
    path.write_bytes(damaged := b"k1:" + OLD[:20].encode() + b"\xff\n")

    with pytest.raises(KeysUnusable, match=r"payload\.keys: key 1 \(k1\): not 32 bytes"):
        await kept(data_path, monkeypatch, f"k2:{NEW}")

    assert path.read_bytes() == damaged

"""The payload keys of `stillmotion dev`: the data directory keeps every key it was ever given."""

import base64
import stat
from pathlib import Path

import pytest

from activities.encryption.keys import parse_keys
from workers.dev import payload_keys
from workers.embedded.locking import DataDirectory

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

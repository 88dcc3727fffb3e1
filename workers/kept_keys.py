"""The keys of a `stillmotion dev`, which its data directory keeps: what they sealed outlives it."""

import base64
import os
from pathlib import Path

from activities.callbacks.settings import KEY_SIZE_BYTES
from activities.encryption.keys import KeyChanged, KeysUnusable, with_kept
from activities.encryption.settings import EncryptionSettings
from workers.embedded.locking import DataDirectory

KEY_FILE = "secret.key"
PAYLOAD_KEYS_FILE = "payload.keys"
"""In the data directory, readable by its owner only."""


def secret_key(directory: DataDirectory) -> Path:
    """The file of this stack's own key, made at the first start."""
    path = directory.path / KEY_FILE
    if not path.exists():
        write_secret(path, base64.b64encode(os.urandom(KEY_SIZE_BYTES)).decode())
    return path


def payload_keys(directory: DataDirectory) -> str | None:
    """The file of the keys of this stack's payloads; None where nobody ever gave any.

    Those of the environment are kept, since the histories of this stack outlive it, and those that
    it no longer has too: the file may be their only copy.

    A file of the user's stays where it is, and may lack what is kept, but not contradict it.

    Raises:
        ValueError: keys were given that can't be used; what is kept stays as it is.
    """
    given, kept = EncryptionSettings(), directory.path / PAYLOAD_KEYS_FILE
    if given.payload_keys is not None:
        keys = given.payload_keys.get_secret_value()
        write_secret(kept, _with_kept("STILLMOTION_PAYLOAD_KEYS", keys, kept))
    elif given.payload_keys_file is not None:
        given.keys()
        path = given.payload_keys_file.resolve()
        _with_kept("STILLMOTION_PAYLOAD_KEYS_FILE", path.read_text("ascii"), kept)
        return str(path)
    return str(kept) if kept.exists() else None


def _with_kept(setting: str, given: str, kept: Path) -> str:
    """The keys of a setting with those of the file `kept` behind them.

    Raises:
        KeysUnusable: an id would stand for another key, or the file can't be used.
    """
    before = kept.read_text("ascii", "replace") if kept.exists() else ""
    try:
        return with_kept(given, before)
    except KeyChanged as error:
        raise KeysUnusable(
            f"{setting}: {error}. Histories of this stack may bear that id, and only the key in"
            f" {kept} reads them. Nothing was started, changed or charged. To rotate, put the new"
            " key first under an id of its own: NEW_ID:BASE64; to go on as before, unset"
            f" {setting}. Then start `stillmotion dev` again."
        ) from None
    except KeysUnusable as error:
        raise KeysUnusable(
            f"{kept}: {error}. Nothing was started, changed or charged. Mend that file, whose keys"
            " may be their only copies, and start `stillmotion dev` again."
        ) from None


def write_secret(path: Path, text: str) -> None:
    """Have a file hold `text`, readable by its owner only, whole at any moment."""
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(f"{text}\n", "ascii")
    aside.replace(path)

"""Payloads are encrypted whole, decrypted by their key's id, and read as they are without one."""

import base64
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from activities.encryption.codec import KEY_ID, EncryptionCodec, PayloadUnreadable
from activities.encryption.converter import data_converter
from activities.encryption.keys import KeyFile, KeysUnusable, parse_keys
from activities.encryption.settings import EncryptionSettings
from workflows.contracts.payloads import ENCRYPTED

OLD, NEW = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
PROMPT = "a lighthouse in the fog"


class Wish(BaseModel):
    prompt: str


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> EncryptionSettings:
    for name in ("STILLMOTION_PAYLOAD_KEYS", "STILLMOTION_PAYLOAD_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"STILLMOTION_{name.upper()}", value)
    return EncryptionSettings()


def codec(keys: str) -> EncryptionCodec:
    ring = parse_keys(keys)
    return EncryptionCodec(lambda: ring)


def a_payload(text: str = PROMPT) -> Payload:
    return Payload(
        metadata={"encoding": b"json/plain", "file": b"lighthouse.jpg"}, data=text.encode()
    )


async def test_a_payload_is_encrypted_with_its_metadata_and_comes_back_whole() -> None:
    keys = codec(f"k1:{OLD}")

    (sealed,) = await keys.encode([a_payload()])

    assert dict(sealed.metadata) == {"encoding": ENCRYPTED, KEY_ID: b"k1"}
    assert PROMPT.encode() not in sealed.SerializeToString()
    assert b"lighthouse" not in sealed.SerializeToString()
    assert await keys.decode([sealed]) == [a_payload()]


async def test_the_same_payload_is_never_encrypted_to_the_same_bytes() -> None:
    keys = codec(f"k1:{OLD}")

    sealed = await keys.encode([a_payload()] * 100)

    assert len({each.data[:12] for each in sealed}) == 100


async def test_the_first_key_encrypts_and_each_decrypts_what_bears_its_id() -> None:
    (before,) = await codec(f"k1:{OLD}").encode([a_payload("before")])
    rotated = codec(f"k2:{NEW},k1:{OLD}")

    (after,) = await rotated.encode([a_payload("after")])

    assert after.metadata[KEY_ID] == b"k2"
    assert [each.data for each in await rotated.decode([before, after])] == [b"before", b"after"]


async def test_with_none_first_nothing_is_encrypted_and_all_is_still_read() -> None:
    (before,) = await codec(f"k1:{OLD}").encode([a_payload()])
    turned_off = codec(f"none,k1:{OLD}")

    assert await turned_off.encode([a_payload()]) == [a_payload()]
    assert await turned_off.decode([before, a_payload()]) == [a_payload(), a_payload()]


async def test_an_unknown_key_is_named_and_nothing_else_is_told() -> None:
    (sealed,) = await codec(f"k1:{OLD}").encode([a_payload()])

    with pytest.raises(PayloadUnreadable) as told:
        await codec(f"k2:{NEW}").decode([sealed])

    assert "'k1'" in str(told.value)
    assert NEW not in str(told.value)
    assert PROMPT not in str(told.value)


def flipped(sealed: Payload) -> Payload:
    return Payload(metadata=sealed.metadata, data=sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))


def cut(sealed: Payload) -> Payload:
    return Payload(metadata=sealed.metadata, data=sealed.data[:5])


def under_another_id(sealed: Payload) -> Payload:
    return Payload(metadata={"encoding": ENCRYPTED, KEY_ID: b"same"}, data=sealed.data)


def under_none(sealed: Payload) -> Payload:
    return Payload(metadata={"encoding": ENCRYPTED}, data=sealed.data)


@pytest.mark.parametrize("change", [flipped, cut, under_another_id, under_none])
async def test_a_changed_payload_is_refused(change: Callable[[Payload], Payload]) -> None:
    keys = codec(f"k1:{OLD},same:{OLD}")
    (sealed,) = await keys.encode([a_payload()])

    with pytest.raises(PayloadUnreadable):
        await keys.decode([change(sealed)])


async def test_models_and_failure_texts_go_through_the_converter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    converter = data_converter(settings(monkeypatch, payload_keys=f"k1:{OLD}"))
    failed = Failure()

    (sealed,) = await converter.encode([Wish(prompt=PROMPT)])
    await converter.encode_failure(ApplicationError(PROMPT, PROMPT, type="invalid_request"), failed)

    assert PROMPT.encode() not in sealed.SerializeToString() + failed.SerializeToString()
    assert failed.application_failure_info.type == "invalid_request"
    assert await converter.decode([sealed], [Wish]) == [Wish(prompt=PROMPT)]
    again = await converter.decode_failure(failed)
    assert isinstance(again, ApplicationError)
    assert (again.message, again.details) == (PROMPT, (PROMPT,))


def test_without_keys_the_converter_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_converter(settings(monkeypatch)) is pydantic_data_converter
    assert data_converter(settings(monkeypatch, payload_keys="")) is pydantic_data_converter


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (OLD, "key 1: no id"),
        (f":{OLD}", "key 1: no id"),
        (f"k 1:{OLD}", "key 1: no id"),
        (f"{'k' * 65}:{OLD}", "key 1: no id"),
        (f"none:{OLD}", "key 1: no id"),
        (f"k1:{OLD},k1:{NEW}", "key 2: the id 'k1' stands twice"),
        (f"k1:{OLD},k2:{NEW[:-4]}", "key 2 (k2): not 32 bytes"),
        (f"k1:{OLD},k2:!{NEW}", "key 2 (k2): not 32 bytes"),
        (f"k1:{OLD},none", "key 2: 'none'; it is allowed in the first place"),
        (" , ", "no key"),
    ],
)
def test_keys_that_cant_be_used_are_named_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, keys: str, named: str
) -> None:
    with pytest.raises(ValidationError) as told:
        settings(monkeypatch, payload_keys=keys)

    assert named in str(told.value)
    assert OLD not in str(told.value)
    assert NEW[:-4] not in str(told.value)


def test_keys_in_two_places_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="STILLMOTION_PAYLOAD_KEYS is set too"):
        settings(monkeypatch, payload_keys=f"k1:{OLD}", payload_keys_file=str(tmp_path))


@pytest.mark.parametrize("content", [None, b"k1", b"\xff"])
def test_a_file_that_holds_no_keys_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(KeysUnusable, match=r"^STILLMOTION_PAYLOAD_KEYS_FILE: "):
        settings(monkeypatch, payload_keys_file=str(path)).keys()


def test_a_file_that_changes_is_read_again_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"k1:{OLD}\n")
    keys = KeyFile(path)
    seen = [keys().first]

    for text in (f"k2:{NEW}\nk1:{OLD}\n", "k3:half a k"):
        aside = tmp_path / "aside"
        aside.write_text(text)
        aside.replace(path)
        seen.append(keys().first)
    path.unlink()
    seen.append(keys().first)

    assert seen == ["k1", "k2", "k2", "k2"]
    assert set(keys().ciphers) == {"k1", "k2"}


def test_a_change_that_leaves_size_and_time_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"k1:{OLD}")
    before = path.stat()
    keys = KeyFile(path)

    path.write_text(f"k2:{NEW}")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert keys().first == "k2"


def test_a_file_that_could_not_be_read_is_tried_again_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    path.write_text(f"k1:{OLD}\n")
    keys = KeyFile(path)
    path.write_text(f"k2:{NEW}\nk1:{OLD}\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    # No file can be opened, which changes nothing about the file itself.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        unread = [keys().first, keys().first]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert unread == ["k1", "k1"]
    assert keys().first == "k2"
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        "payload keys not read again: the file can't be read: Too many open files"
    ]

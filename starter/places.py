"""Where everything is: the environment, else the `stillmotion dev` of a data directory."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig

from activities.callbacks.settings import CallbackSettings
from activities.database.settings import DatabaseSettings
from activities.encryption.converter import data_converter
from activities.encryption.keys import KeysUnusable
from activities.encryption.settings import EncryptionSettings
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.settings import DEFAULT_BASE_URL, ProviderSettings
from activities.tracing.interceptors import trace_interceptors
from workflows.contracts.stack import StackAddress, read_stack

DATA_DIR = Path(".stillmotion")


class NotReachable(Exception):
    """A service that is needed does not answer. The message says which, and what to start."""


class SettingWrong(ValueError):
    """A setting that can't be used. The message names its variable and what is wrong, no secret."""


class Place(NamedTuple):
    """What the starter connects to."""

    database: DatabaseSettings
    media: MediaSettings
    ledger: LedgerSettings
    callbacks: CallbackSettings
    temporal: str | None
    """None = by `TEMPORAL_*` and `temporal.toml`."""
    stack: StackAddress | None
    """The `dev` that was found; None where the environment says everything."""
    provider_url: str = DEFAULT_BASE_URL
    """Whose recent runs say how long a model takes."""
    remedy: str = "Check STILLMOTION_DATABASE_URL and TEMPORAL_ADDRESS."
    """What a person can do when it does not answer."""


def find_place(data_dir: Path = DATA_DIR) -> Place:
    """Read the environment once; without a database there, the ready line of `dev` in `data_dir`.

    Raises:
        NotReachable: neither names a database.
        pydantic.ValidationError: a setting is wrong; it names the variable.
    """
    if "STILLMOTION_DATABASE_URL" in os.environ:
        return Place(
            DatabaseSettings(),  # pyright: ignore[reportCallIssue]
            MediaSettings(),  # pyright: ignore[reportCallIssue]
            LedgerSettings(),
            CallbackSettings(),
            None,
            None,
            ProviderSettings().base_url,
        )
    stack = read_stack(data_dir)
    if stack is None:
        raise NotReachable(
            f"No stillmotion stack runs in {data_dir}: start one with `{_dev(data_dir)}`,"
            " or set STILLMOTION_DATABASE_URL."
        )
    return Place(
        DatabaseSettings(database_url=SecretStr(stack.database), database_connections_max=4),
        MediaSettings(media_url=stack.media),
        _ledger_of(stack),
        _callbacks_of(stack),
        stack.temporal,
        stack,
        stack.provider,
        f"The stack of {data_dir} has gone; start it again with `{_dev(data_dir)}`.",
    )


def _ledger_of(stack: StackAddress) -> LedgerSettings:
    """What the stack's workers price and limit by; what it doesn't say is the environment's."""
    return LedgerSettings.model_validate(
        {name.removeprefix("STILLMOTION_").lower(): value for name, value in stack.limits.items()}
    )


def store_of(place: Place) -> MediaStore:
    """The media store.

    Raises:
        SettingWrong: its URL names none.
        StoreUnavailable: its folder can't be made.
    """
    try:
        return MediaStore.from_url(place.media.media_url)
    except ValueError as error:
        raise SettingWrong(f"STILLMOTION_MEDIA_URL: {error}.") from error


async def connect_temporal(place: Place) -> Client:
    """A Temporal client with our data converter.

    Raises:
        NotReachable: the server does not answer.
        SettingWrong: the environment or the profile can't be read.
    """
    if place.temporal is not None:
        # The stack's own server: a profile or a key in the environment is for another one.
        config: ClientConnectConfig = {"target_host": place.temporal, "namespace": "default"}
    else:
        try:
            config = ClientConfig.load_client_connect_config()
        except RuntimeError as error:
            raise SettingWrong(f"TEMPORAL_* or temporal.toml: {error}") from error
    try:
        converter = data_converter(_encryption_of(place))
    except KeysUnusable as error:
        raise SettingWrong(f"{error}") from error
    try:
        return await Client.connect(
            **config,
            data_converter=converter,
            interceptors=trace_interceptors(),
        )
    except RuntimeError as error:
        address = config.get("target_host", "localhost:7233")
        raise NotReachable(f"Temporal does not answer at {address}. {place.remedy}") from error


def _callbacks_of(stack: StackAddress) -> CallbackSettings:
    """What the workers of a stack go by: its own key, and receivers on a developer's machine."""
    file = Path(stack.secret_key_file) if stack.secret_key_file is not None else None
    settings = CallbackSettings(secret_key=None, secret_key_file=file)
    if stack.live or "STILLMOTION_ALLOW_PRIVATE_CALLBACKS" in os.environ:
        return settings
    return settings.model_copy(update={"allow_private_callbacks": True})


def _encryption_of(place: Place) -> EncryptionSettings:
    """The keys of payloads: of the stack, whose workers know no others, or the environment's."""
    if place.stack is None:
        return EncryptionSettings()
    file = place.stack.payload_keys_file
    return EncryptionSettings(
        payload_keys=None, payload_keys_file=Path(file) if file is not None else None
    )


def _dev(data_dir: Path) -> str:
    where = ("--data-dir", str(data_dir)) if data_dir != DATA_DIR else ()
    return shlex.join(("stillmotion", "dev", *where))

"""Every setting, its value and where that comes from. Secrets stay hidden."""

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from activities.callbacks.settings import CallbackSettings
from activities.database.settings import DatabaseSettings
from activities.encryption.settings import CodecServerSettings, EncryptionSettings
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from activities.prompts.settings import LlmSettings
from activities.provider.settings import PacingSettings, ProviderSettings
from activities.sweeping.settings import SweepSettings
from activities.tracing.settings import TracingSettings
from workflows.contracts.stack import StackAddress, read_stack

_MODELS: tuple[type[BaseSettings], ...] = (
    DatabaseSettings,
    MediaSettings,
    ProviderSettings,
    PacingSettings,
    LlmSettings,
    LedgerSettings,
    CallbackSettings,
    EncryptionSettings,
    CodecServerSettings,
    SweepSettings,
    TracingSettings,
)
_OTHERS = {
    "STILLMOTION_DATA_DIR": "Where a `stillmotion dev` keeps its state",
    "STILLMOTION_METRICS_ADDRESS": "Where Prometheus finds a worker's metrics, as IP:PORT",
    "STILLMOTION_REPORT_INTERVAL_S": "How often these say what waits and what is held",
    "OTEL_SERVICE_NAME": "The name of a process in traces, such as stillmotion-worker",
    "STILLMOTION_DEBUG": "1 = print a traceback with each error",
    "TEMPORAL_ADDRESS": "Temporal's host and port",
    "TEMPORAL_NAMESPACE": "Temporal's namespace",
    "TEMPORAL_API_KEY": "The key of Temporal Cloud",
    "TEMPORAL_PROFILE": "A profile of temporal.toml",
}
_SECRETS = {"TEMPORAL_API_KEY"}
_TAIL = 4
_TAIL_FROM = 12
"""A shorter secret would be given away by its end."""


class Setting(NamedTuple):
    """One setting."""

    name: str
    value: str
    source: str
    """`environment`, `dev` (the stack of the data directory) or `default`."""
    description: str


def all_settings(data_dir: Path) -> list[Setting]:
    """The settings of every client, and the others that we read."""
    stack = None if "STILLMOTION_DATABASE_URL" in os.environ else read_stack(data_dir)
    by_stack = _given_by(stack)
    found = [
        _setting(_variable(model, name), field, by_stack)
        for model in _MODELS
        for name, field in model.model_fields.items()
    ]
    for name, description in _OTHERS.items():
        value, source = _value(name, "", by_stack)
        shown = _hidden(value) if name in _SECRETS else value
        found.append(Setting(name, shown, source, description))
    return found


def _given_by(stack: StackAddress | None) -> dict[str, str]:
    """What a running `dev` says in place of the environment."""
    if stack is None:
        return {}
    given = {
        "STILLMOTION_DATABASE_URL": stack.database,
        "STILLMOTION_MEDIA_URL": stack.media,
        "TEMPORAL_ADDRESS": stack.temporal,
        "TEMPORAL_NAMESPACE": "default",
    }
    if stack.secret_key_file is not None:
        given["STILLMOTION_SECRET_KEY_FILE"] = stack.secret_key_file
    if stack.payload_keys_file is not None:
        given["STILLMOTION_PAYLOAD_KEYS_FILE"] = stack.payload_keys_file
    if stack.live:
        return given
    given["WAVESPEED_BASE_URL"] = stack.provider
    if "STILLMOTION_ALLOW_PRIVATE_CALLBACKS" not in os.environ:
        given["STILLMOTION_ALLOW_PRIVATE_CALLBACKS"] = "True"
    return given | ({"OPENAI_BASE_URL": stack.llm} if stack.llm else {})


def _variable(model: type[BaseSettings], name: str) -> str:
    alias = model.model_fields[name].validation_alias
    if isinstance(alias, str):
        return alias
    return f"{model.model_config.get('env_prefix', '')}{name}".upper()


def _setting(variable: str, field: FieldInfo, by_stack: dict[str, str]) -> Setting:
    default = field.get_default(call_default_factory=True, validated_data={})
    shown = "" if default is None or default is PydanticUndefined else _plain(default)
    value, source = _value(variable, shown, by_stack)
    if variable == "STILLMOTION_DATABASE_URL":
        value = _without_password(value)
    elif field.annotation is SecretStr or "SecretStr" in str(field.annotation):
        value = _hidden(value)
    return Setting(variable, value, source, (field.description or "").rstrip("."))


def _value(variable: str, default: str, by_stack: dict[str, str]) -> tuple[str, str]:
    if variable in by_stack:
        return by_stack[variable], "dev"
    if os.environ.get(variable):
        return os.environ[variable], "environment"
    return default, "default"


def _plain(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _hidden(secret: str) -> str:
    if not secret:
        return "absent"
    return f"present, ends in {secret[-_TAIL:]}" if len(secret) >= _TAIL_FROM else "present"


def _without_password(url: str) -> str:
    """A database URL as people may see it."""
    parts = urlsplit(url)
    if "password=" in parts.query.lower():
        parts = parts._replace(query="…")
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    hidden = f"{name}:…" if ":" in user else name
    return parts._replace(netloc=f"{hidden}{at}{host}").geturl()

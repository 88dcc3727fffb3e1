"""The LLM's settings, and which processes are given them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from activities.prompts.settings import LlmSettings
from starter.cli.settings import all_settings
from workers.stack import SANDBOX_KEY, environment_of
from workflows.contracts.stack import STACK_FILE, StackAddress

NAMES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "STILLMOTION_LLM_MODEL", "STILLMOTION_LLM_TIMEOUT_S")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "STILLMOTION_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def a_stack(**given: object) -> StackAddress:
    address = {
        "temporal": "127.0.0.1:1",
        "temporal_ui": "http://127.0.0.1:2",
        "task_queue": "stillmotion",
        "database": "postgresql://u@/db",
        "media": "file:///tmp/media",
        "provider": "http://127.0.0.1:3/api/v3",
        "llm": "http://127.0.0.1:3/v1",
    }
    return StackAddress.model_validate({**address, **given})


def test_without_key_and_address_no_llm_is_asked() -> None:
    settings = LlmSettings()

    assert not settings.is_configured
    assert (settings.model, settings.timeout_s) == ("gpt-4.1-mini", 60)


@pytest.mark.parametrize(
    ("name", "value"), [("OPENAI_API_KEY", " sk-1\n"), ("OPENAI_BASE_URL", "http://here:1/v1/")]
)
def test_a_key_or_an_address_configures_one(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    settings = LlmSettings()

    assert settings.is_configured
    assert settings.base_url in {None, "http://here:1/v1"}
    assert settings.api_key is None or settings.api_key.get_secret_value() == "sk-1"
    assert "sk-1" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", "sk with blanks"),
        ("OPENAI_BASE_URL", "ftp://here/v1"),
        ("OPENAI_BASE_URL", "https://me:secret@here/v1"),
        ("OPENAI_BASE_URL", "https://here/v1?key=secret"),
        ("OPENAI_BASE_URL", "https://here:99999/v1"),
        ("STILLMOTION_LLM_TIMEOUT_S", "76"),
        ("STILLMOTION_LLM_TIMEOUT_S", "0"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError) as refused:
        LlmSettings()

    assert refused.value.errors()[0]["loc"] == (name,)
    assert "secret" not in str(refused.value)
    assert "blanks" not in str(refused.value)


def test_a_stack_that_costs_nothing_asks_its_own_llm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example/v1")

    environment = environment_of(a_stack())

    assert environment["OPENAI_API_KEY"] == SANDBOX_KEY
    assert environment["OPENAI_BASE_URL"] == "http://127.0.0.1:3/v1"


def test_a_stack_without_an_llm_gets_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")

    environment = environment_of(a_stack(llm=None))

    assert not {"OPENAI_API_KEY", "OPENAI_BASE_URL"} & environment.keys()


def test_a_live_stack_keeps_the_users_llm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")

    environment = environment_of(a_stack(live=True, llm=None))

    assert environment["OPENAI_API_KEY"] == "sk-real"
    assert "OPENAI_BASE_URL" not in environment


def test_the_settings_are_listed_with_where_they_come_from_and_no_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real-and-long-1234")
    (tmp_path / STACK_FILE).write_text(a_stack().model_dump_json())

    listed = {setting.name: setting for setting in all_settings(tmp_path)}

    assert [name for name in NAMES if name not in listed] == []
    assert listed["OPENAI_API_KEY"].value == "present, ends in 1234"
    assert listed["OPENAI_BASE_URL"][1:3] == ("http://127.0.0.1:3/v1", "dev")
    assert listed["STILLMOTION_LLM_TIMEOUT_S"][1:3] == ("60", "default")

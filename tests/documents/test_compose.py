"""docker-compose.yml against the code: its commands parse, its variables are settings of ours.

No engine runs here: the file is read, and each of our commands is put to the real parser.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from activities.callbacks.settings import CallbackSettings
from activities.database.settings import DatabaseSettings
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from activities.prompts.settings import LlmSettings
from activities.provider.settings import ProviderSettings
from workers.settings import WorkerSettings
from workflows.contracts.queues import SEARCH_ATTRIBUTES

REPOSITORY = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
SETTINGS: tuple[type[BaseSettings], ...] = (
    CallbackSettings,
    DatabaseSettings,
    LedgerSettings,
    LlmSettings,
    MediaSettings,
    ProviderSettings,
    WorkerSettings,
)


def variables() -> set[str]:
    """Every environment variable that a settings model of ours reads, and Temporal's own."""
    names = {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}
    for model in SETTINGS:
        prefix = model.model_config.get("env_prefix", "")
        for name, field in model.model_fields.items():
            alias = field.validation_alias
            names.add(alias if isinstance(alias, str) else f"{prefix}{name}".upper())
    return names


def test_the_services_that_run_our_code_are_these() -> None:
    assert OURS == ["migrate", "sandbox", "worker"]


@pytest.mark.parametrize("name", OURS)
def test_a_services_command_is_one_that_the_cli_takes(name: str) -> None:
    verb, *flags = SERVICES[name]["command"]

    shown = subprocess.run(
        [sys.executable, "-m", "starter.cli", verb, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert shown.returncode == 0, shown.stderr
    for flag in (flag for flag in flags if flag.startswith("--")):
        assert flag in shown.stdout, f"{verb} does not take {flag}"


@pytest.mark.parametrize("name", OURS)
def test_a_services_variables_are_settings_of_ours(name: str) -> None:
    given = SERVICES[name].get("environment", {})

    assert set(given) <= variables()


def test_the_worker_is_given_every_setting_that_has_no_default() -> None:
    required = {
        f"{model.model_config.get('env_prefix', '')}{name}".upper()
        for model in SETTINGS
        for name, field in model.model_fields.items()
        if field.is_required()
    }

    assert required <= set(SERVICES["worker"]["environment"])


def test_every_service_that_goes_on_running_is_waited_for_by_its_health() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} waits for {needed}"
            else:
                assert SERVICES[needed].get("restart", "no") == "no", f"{needed} never completes"


def test_ports_are_bound_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_search_attribute_is_registered() -> None:
    (script,) = SERVICES["temporal-namespace"]["command"]

    assert set(re.findall(r"--name (\w+)", script)) == {key.name for key in SEARCH_ATTRIBUTES}


def test_no_service_has_a_password_of_its_own_and_state_is_on_named_volumes() -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text()

    assert not re.search(r"PASSWORD: (?!\$\{POSTGRES_PASSWORD:\?)", text)
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in COMPOSE["volumes"]


def test_the_image_holds_every_room_and_the_locked_dependencies() -> None:
    image = (REPOSITORY / "deploy" / "Dockerfile").read_text()

    for room in ("workflows", "activities", "workers", "starter"):
        assert f"COPY {room} {room}" in image
    assert "--require-hashes" in image
    assert "USER stillmotion" in image

"""docker-compose.yml, read: what can be said of it without starting anything.

`test_compose_parity.py` runs it.
"""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from activities.callbacks.settings import CallbackSettings
from activities.database.settings import DatabaseSettings
from activities.encryption.settings import CodecServerSettings, EncryptionSettings
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from activities.prompts.settings import LlmSettings
from activities.provider.settings import ProviderSettings
from activities.sweeping.settings import SweepSettings
from activities.tracing.settings import TracingSettings
from tests.documents.compose_file import (
    DEPLOY,
    REPOSITORY,
    TEXT,
    VariableMissing,
    env_file,
    image,
    services,
    variables_named,
)
from workers.settings import WorkerSettings
from workflows.contracts.queues import SEARCH_ATTRIBUTES, TaskQueue

DEMO = env_file("demo.env")
SERVICES = services(DEMO)
OURS = {name: service for name, service in SERVICES.items() if service.is_ours}
POOLS = {name: service for name, service in OURS.items() if service.command[0] == "worker"}
PROFILES = ("monitoring", "encryption", "cli")
SETTINGS: tuple[type[BaseSettings], ...] = (
    CallbackSettings,
    CodecServerSettings,
    DatabaseSettings,
    EncryptionSettings,
    LedgerSettings,
    LlmSettings,
    MediaSettings,
    ProviderSettings,
    SweepSettings,
    TracingSettings,
    WorkerSettings,
)
BY_LIBRARIES = {
    *("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"),
    *("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}
ELSEWHERE = {
    "STILLMOTION_SECRET_KEY_FILE": "what it would hold is given by a variable",
    "STILLMOTION_PAYLOAD_KEYS_FILE": "what it would hold is given by a variable",
    "STILLMOTION_CODEC_TOKEN": "the codec server's",
    "STILLMOTION_CODEC_ORIGINS": "the codec server's",
    "STILLMOTION_ALLOW_PRIVATE_INPUTS": "for tests only",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "OTEL_EXPORTER_OTLP_ENDPOINT says it too",
}
"""Variables that no worker on containers is given, each with the reason."""
NEVER_CHANGED = {
    "STILLMOTION_DATABASE_SLOTS",
    "STILLMOTION_DECODE_MEMORY_BYTES_MAX",
    "STILLMOTION_DECODE_TIMEOUT_S",
    "STILLMOTION_DEPLOYMENT_NAME",
    "STILLMOTION_HEARTBEAT_TIMEOUT_S",
    "STILLMOTION_INPUT_SIZE_BYTES_MAX",
    "STILLMOTION_LLM_TIMEOUT_S",
    "STILLMOTION_OUTPUT_SIZE_BYTES_MAX",
    "STILLMOTION_PROVIDER_CONNECT_TIMEOUT_S",
    "STILLMOTION_PROVIDER_READ_TIMEOUT_S",
    "STILLMOTION_PROVIDER_SUBMIT_TIMEOUT_S",
    "STILLMOTION_PROVIDER_UPLOAD_TIMEOUT_S",
    "STILLMOTION_REPORT_INTERVAL_S",
    "STILLMOTION_SWEEP_GRACE_S",
    "STILLMOTION_WORKFLOWS_CACHED_MAX",
}
"""Nor these, of which no document speaks: their defaults fit."""
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def read_by_us() -> set[str]:
    """Every environment variable that a settings model of ours reads, and its libraries."""
    names = set(BY_LIBRARIES)
    for model in SETTINGS:
        prefix = model.model_config.get("env_prefix", "")
        for name, field in model.model_fields.items():
            alias = field.validation_alias
            names.add(alias if isinstance(alias, str) else f"{prefix}{name}".upper())
    return names


def test_each_variable_of_our_services_is_one_that_we_read() -> None:
    for name, service in OURS.items():
        given = set(service.document.get("environment", {}))

        assert given <= read_by_us(), name


def test_each_variable_that_we_read_reaches_the_workers_or_has_a_reason_not_to() -> None:
    for name, pool in POOLS.items():
        given = set(pool.document["environment"])

        assert read_by_us() - given == ELSEWHERE.keys() | NEVER_CHANGED, name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_variable_that_nobody_has_to_change(path: Path) -> None:
    assert not NEVER_CHANGED & set(re.findall(r"[A-Z]\w+", path.read_text("utf-8")))


def test_each_task_queue_is_served_by_one_pool_and_each_pool_by_any_number_of_workers() -> None:
    served = [queue for pool in POOLS.values() for queue in pool.command[2:]]

    assert sorted(served) == sorted(queue.value for queue in TaskQueue)
    for pool in POOLS.values():
        assert pool.command[1] == "--queues"
        assert not {"container_name", "ports", "hostname"} & set(pool.document)


def test_a_worker_is_given_longer_to_stop_than_it_drains() -> None:
    for pool in POOLS.values():
        grace_s = int(pool.document["stop_grace_period"].removesuffix("s"))

        assert grace_s > int(pool.environment["STILLMOTION_DRAIN_S"])


def test_who_is_waited_for_says_that_it_is_healthy_or_completes() -> None:
    for name, service in SERVICES.items():
        for needed, condition in service.needs.items():
            if condition == "service_healthy":
                assert "healthcheck" in SERVICES[needed].document, f"{name} waits for {needed}"
            else:
                assert condition == "service_completed_successfully"
                assert SERVICES[needed].document["restart"] == "no", f"{needed} never completes"


def test_what_does_not_complete_is_started_again() -> None:
    completing = {"cli"} | {
        needed
        for each in SERVICES.values()
        for needed, condition in each.needs.items()
        if condition == "service_completed_successfully"
    }

    for name, service in SERVICES.items():
        again = service.document["restart"]
        assert again == ("no" if name in completing else "unless-stopped"), name


def test_ports_are_bound_to_this_machine_only() -> None:
    ports = [port for each in SERVICES.values() for port in each.document.get("ports", ())]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for service in SERVICES.values():
        if service.document.get("network_mode") == "host":
            assert service.command[1:3] == ["--host", "127.0.0.1"]


def test_every_search_attribute_is_registered() -> None:
    script = (DEPLOY / "temporal" / "namespace.sh").read_text("utf-8")

    # The CLI pairs names and types by their order.
    pairs = re.findall(r"--name (\w+) --type (\w+)", script)
    assert pairs == [(key.name, "Keyword") for key in SEARCH_ATTRIBUTES]
    assert script.count("--name ") == script.count("--type ") == len(pairs)


def test_secrets_have_no_default_and_are_required_where_one_is_needed() -> None:
    variable = re.compile(r"\$\{(\w*(?:PASSWORD|SECRET|_KEY|TOKEN)\w*)(?::([-?])([^}]*))?\}")
    # The sandbox takes any key; Grafana's start refuses an empty password.
    harmless = {("WAVESPEED_API_KEY", "sandbox"), ("GRAFANA_ADMIN_PASSWORD", "")}

    found = variable.findall(TEXT)

    assert len(found) > len(harmless)
    for name, kind, rest in found:
        assert kind == "?" or (name, rest) in harmless, name
    assert ":?" in SERVICES["grafana"].document["entrypoint"][-1]


def test_each_required_variable_is_missed_when_it_is_empty() -> None:
    for name in set(re.findall(r"(?<!\$)\$\{(\w+):\?", TEXT)):
        with pytest.raises(VariableMissing, match=name):
            services(DEMO | {name: ""})


def test_the_env_file_to_copy_names_each_variable_with_its_default() -> None:
    text = (DEPLOY / ".env.example").read_text("utf-8")
    named = dict(re.findall(r"^(?:# )?([A-Z]\w+)=(.*)$", text, re.MULTILINE))

    assert set(named) == variables_named()
    for name, default in re.findall(r"\$\{(\w+):-([^}]+)\}", TEXT):
        if name not in {"WAVESPEED_API_KEY", "WAVESPEED_BASE_URL"}:
            assert named[name] == default, name


def test_the_starters_and_the_services_around_it_hold_no_more_than_they_need() -> None:
    api, worker = SERVICES["api"].environment, SERVICES["worker-media"].environment

    assert "//stillmotion_api:" in api["STILLMOTION_DATABASE_URL"]
    assert "//stillmotion:" in worker["STILLMOTION_DATABASE_URL"]
    given_to_the_api = SERVICES["api"].document["environment"].keys()
    assert not {name for name in given_to_the_api if name.startswith("OPENAI_")}
    assert "STILLMOTION_SECRET_KEY" not in given_to_the_api
    assert not SERVICES["sandbox"].environment
    assert set(SERVICES["migrate"].environment) == {"STILLMOTION_DATABASE_URL"}


def test_the_api_prices_and_stores_by_what_the_workers_are_given() -> None:
    api, worker = (SERVICES[name].document["environment"] for name in ("api", "worker-media"))
    prices = {f"STILLMOTION_{name}".upper() for name in LedgerSettings.model_fields}
    stores = {name for name in worker if name.startswith("AWS_")} | {"STILLMOTION_MEDIA_URL"}

    for name in prices | stores | {"STILLMOTION_ALLOW_PRIVATE_CALLBACKS"}:
        assert api[name] == worker[name], name


def test_state_is_on_named_volumes_and_what_is_mounted_from_here_is_there() -> None:
    document: dict[str, Any] = yaml.safe_load(TEXT)

    for service in SERVICES.values():
        for outside in service.mounts.values():
            if outside.startswith("./"):
                assert (REPOSITORY / outside).exists(), f"{service.name}: {outside}"
            else:
                assert outside in document["volumes"]


def test_prometheus_asks_every_pool_and_temporal_and_grafana_finds_the_dashboards() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    provisioned = DEPLOY / "grafana" / "provisioning" / "dashboards" / "stillmotion.yml"
    (dashboards,) = yaml.safe_load(provisioned.read_text("utf-8"))["providers"]
    workers, temporal = prometheus["scrape_configs"]

    (found,) = workers["dns_sd_configs"]
    assert sorted(found["names"]) == sorted(POOLS)
    for pool in POOLS.values():
        assert pool.environment["STILLMOTION_METRICS_ADDRESS"] == f"0.0.0.0:{found['port']}"
    (target,) = temporal["static_configs"][0]["targets"]
    endpoint = SERVICES["temporal"].environment["PROMETHEUS_ENDPOINT"]
    assert target == endpoint.replace("0.0.0.0", "temporal")
    mounted = SERVICES["grafana"].mounts[dashboards["options"]["path"]]
    assert list((REPOSITORY / mounted).glob("*.json"))


def test_the_image_holds_what_is_needed_and_no_more() -> None:
    made = image()
    (python,) = re.findall(r"^FROM python:(\d+\.\d+)-slim$", made.text, re.MULTILINE)
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()

    assert {"workflows", "activities", "workers", "starter"} <= set(made.copied.values())
    assert f"/usr/local/lib/python{python}/site-packages/stillmotion.pth" in made.copied
    assert {line[1:] for line in let_in if line.startswith("!")} == set(made.copied.values())
    assert "--require-hashes" in made.text
    assert re.search(r"^USER [1-9]\d*$", made.text, re.MULTILINE)


def test_the_images_tag_is_the_version_and_every_image_of_others_has_one() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]

    for service in SERVICES.values():
        _, tag = service.document["image"].split(":")
        assert tag != "latest"
        if service.is_ours:
            assert tag == project["version"]


def composed(*flags: str, **given: str) -> "subprocess.CompletedProcess[str]":
    """What `docker-compose` reads, with `given` as the shell's variables and none of ours."""
    return subprocess.run(
        ["docker-compose", *flags, "config"],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"]} | given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.tools("docker-compose")
@pytest.mark.parametrize("profiles", [(), PROFILES], ids=["plain", "with every profile"])
def test_a_compose_program_reads_the_file_as_these_tests_do(profiles: tuple[str, ...]) -> None:
    chosen = [flag for profile in profiles for flag in ("--profile", profile)]
    given = {"STILLMOTION_PUBLIC_URL": "https://video.example.com"}

    ran = composed("--env-file", str(DEPLOY / "demo.env"), *chosen, **given)

    assert ran.returncode == 0, ran.stderr
    document: dict[str, Any] = yaml.safe_load(ran.stdout)
    # Older ones print the services of every profile.
    assert set(document["services"]) >= {
        name
        for name, service in SERVICES.items()
        if set(service.document.get("profiles", profiles)) <= set(profiles)
    }
    for name, service in services(DEMO | given).items():
        if name not in document["services"]:
            continue
        read = document["services"][name]
        assert _told(read.get("command")) == [str(part) for part in service.command], name
        given_to_it = {
            key: str(value)
            for key, value in read.get("environment", {}).items()
            if value is not None
        }
        assert given_to_it == service.environment, name


def _told(command: Any) -> list[str]:
    """A command as `config` prints it, which writes a dollar twice."""
    return [str(part).replace("$$", "$") for part in command or ()]


@pytest.mark.tools("docker-compose")
def test_a_compose_program_starts_nothing_without_passwords(tmp_path: Path) -> None:
    (tmp_path / "empty.env").touch()

    ran = composed("--env-file", str(tmp_path / "empty.env"))

    assert ran.returncode != 0
    assert "deploy/.env.example" in ran.stderr

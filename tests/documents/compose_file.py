"""docker-compose.yml as a compose program reads it, and what the Dockerfile says of the image."""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docker-compose.yml").read_text("utf-8")
DEPLOY = REPOSITORY / "deploy"

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")


class VariableMissing(Exception):
    """A variable that the file requires has no value."""


class Service(NamedTuple):
    """One service, its variables filled in."""

    name: str
    document: dict[str, Any]
    environment: dict[str, str]
    """Without those that have no value: they are not set then."""

    @property
    def command(self) -> list[str]:
        return self.document.get("command", [])

    @property
    def is_ours(self) -> bool:
        return "build" in self.document

    @property
    def needs(self) -> dict[str, str]:
        """The services that it waits for, each with the condition."""
        return {name: how["condition"] for name, how in self.document.get("depends_on", {}).items()}

    @property
    def mounts(self) -> dict[str, str]:
        """What is mounted, by the path inside: a folder of ours or a named volume."""
        pairs = (volume.split(":")[:2] for volume in self.document.get("volumes", ()))
        return {inside: outside for outside, inside in pairs}


def env_file(name: str) -> dict[str, str]:
    """The variables of a file in `deploy/`."""
    lines = (DEPLOY / name).read_text("utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def variables_named() -> set[str]:
    """Every variable that a person can give the file."""
    by_braces = {str(found["name"]) for found in _VARIABLE.finditer(TEXT) if found["name"]}
    return by_braces | set(re.findall(r"^ +([A-Z]\w+):$", TEXT, re.MULTILINE))


def services(given: Mapping[str, str]) -> dict[str, Service]:
    """Every service, with `given` as the variables of shell and env file.

    Raises:
        VariableMissing: one that is required is not among them.
    """
    document = yaml.safe_load(TEXT)["services"]
    filled_in: dict[str, dict[str, Any]] = _filled_in(document, given)
    return {
        name: Service(name, service, _environment(service, given))
        for name, service in filled_in.items()
    }


def _environment(service: dict[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    values = {
        name: given.get(name) if value is None else value
        for name, value in service.get("environment", {}).items()
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _filled_in(value: Any, given: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled_in(each, given) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled_in(each, given) for each in value]
    return _VARIABLE.sub(partial(_value, given), value) if isinstance(value, str) else value


def _value(given: Mapping[str, str], found: re.Match[str]) -> str:
    if found["name"] is None:
        return "$"
    if known := given.get(found["name"]):
        return known
    if found["kind"] == "?":
        raise VariableMissing(found["name"])
    return found["rest"] or ""


class Image(NamedTuple):
    """What the Dockerfile makes."""

    copied: dict[str, str]
    """Files and folders of ours, by their path in the image: below its working folder, or `/…`."""
    environment: dict[str, str]
    entrypoint: list[str]
    text: str


def image() -> Image:
    """The image that every process of ours runs in."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copies = re.findall(r"^COPY (\S+) (\S+)$", text, re.MULTILINE)
    settings = " ".join(re.findall(r"^ENV (.+)$", text, re.MULTILINE))
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)
    return Image(
        copied={_path(source, to): source for source, to in copies},
        environment=dict(re.findall(r"(\w+)=(\S+)", settings)),
        entrypoint=json.loads(entrypoint),
        text=text,
    )


def _path(source: str, to: str) -> str:
    """Where COPY puts a file: a name that ends with a slash is a folder."""
    return to.removeprefix("./") + Path(source).name if to.endswith("/") else to

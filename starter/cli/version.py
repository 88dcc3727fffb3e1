"""Which version this is: of the installed package, or of the folders that the image runs from."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
"""Beside the rooms, in the image as in a checkout: the one place where the version is written."""


def own_version() -> str:
    """What the package's metadata say, which are made from `PROJECT`; else what it says itself."""
    try:
        return version("stillmotion")
    except PackageNotFoundError:
        return str(tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"])

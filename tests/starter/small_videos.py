"""Videos that are quick to make, and users who may have several."""

from collections.abc import Mapping
from typing import Any

from tests.starter.conftest import Stack

SMALL: Mapping[str, Any] = {
    "output": [
        {"kind": "other_size", "width": 64, "height": 36},
        {"kind": "other_duration", "duration_s": 0.5},
    ]
}
"""Quick videos, where their picture doesn't matter."""


async def on_plan(stack: Stack, user: str, plan: str) -> None:
    insert = "INSERT INTO subscriptions (user_id, plan) VALUES ($1, $2)"
    await stack.database.execute(insert, user, plan)

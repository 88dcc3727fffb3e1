"""Waiting for what other processes do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(
    condition: Callable[[], Awaitable[T]], *, timeout_s: float, pause_s: float = 0.05
) -> T:
    """Ask until the answer is true; returns it.

    Raises:
        TimeoutError: it was not within `timeout_s`.
    """
    async with asyncio.timeout(timeout_s):
        while not (value := await condition()):  # noqa: ASYNC110 - other processes send no event
            await asyncio.sleep(pause_s)
        return value

"""Waiting for one of several things."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first(*waiting: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several things has happened; the others are not waited for any more."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()

"""The yardstick: a bare HTTP client that does nothing but create the same pods on the same API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
import orjson

from regatta.kube.config import Connection

__all__ = ["create_pods"]

IN_FLIGHT = 64
"""As many requests at once as the operator allows itself."""


async def create_pods(connection: Connection, namespace: str, bodies: Iterable[Mapping[str, Any]]) -> float:
    """Create the pods as fast as aiohttp can, and return the seconds from the first request to the last answer.

    Bodies are encoded beforehand and answers are not decoded: no client in this language does less.
    """
    encoded = iter([orjson.dumps(body) for body in bodies])
    url = f"{connection.server}/api/v1/namespaces/{namespace}/pods"
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}

    async def work(session: aiohttp.ClientSession) -> None:
        for body in encoded:
            async with session.post(url, data=body, headers=headers) as response:
                answer = await response.read()
                if response.status != 201:
                    raise RuntimeError(f"{response.status}: {answer[:300]!r}")

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=connection.ssl_context or True)
    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(work(session))
        return time.perf_counter() - began

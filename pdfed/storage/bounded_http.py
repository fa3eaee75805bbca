# SPDX-License-Identifier: Apache-2.0
"""HTTP client for untrusted servers: bounds the bytes of a response and the total time of a request.

Requests run in an event loop in a thread of its own. There, a timeout covers the whole response, headers included, however
slowly they arrive. Safe to call from several threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Response:
    """An HTTP response.

    media_type: without parameters. location: target of a redirect, else None. body: max_bytes + 1 bytes if it was cut off.
    """

    status: int
    media_type: str
    location: str | None
    body: bytes


class BoundedClient:
    """Keeps connections open between requests; opens none before the first."""

    def __init__(self, headers: Mapping[str, str], *, proxies: bool) -> None:
        """proxies: use those of the environment (HTTPS_PROXY, …)."""
        self._headers, self._proxies = {"Accept-Encoding": "identity", "User-Agent": "pdfed", **headers}, proxies
        self._lock = threading.Lock()
        self._connection: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    def request(self, method: str, url: str, max_bytes: int, first_byte_seconds: float, seconds: float) -> Response:
        """Make one request; redirects are not followed.

        first_byte_seconds: longest silence; seconds: total. Raises TimeoutError after `seconds`, httpx.HTTPError,
        httpx.InvalidURL.
        """
        loop, client = self._open()
        return asyncio.run_coroutine_threadsafe(
            _request(client, method, url, max_bytes, first_byte_seconds, max(0.0, seconds)), loop
        ).result()

    def _open(self) -> tuple[asyncio.AbstractEventLoop, httpx.AsyncClient]:
        with self._lock:
            if self._connection is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, daemon=True).start()
                self._connection = loop, httpx.AsyncClient(headers=self._headers, trust_env=self._proxies)
            return self._connection


async def _request(
    client: httpx.AsyncClient, method: str, url: str, max_bytes: int, first_byte_seconds: float, seconds: float
) -> Response:
    timeout = httpx.Timeout(first_byte_seconds, connect=CONNECT_SECONDS)
    async with asyncio.timeout(seconds), client.stream(method, url, timeout=timeout) as response:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise httpx.DecodingError("the response is compressed, though the request forbids it")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > max_bytes:
                break
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        location = response.headers.get("Location") if response.has_redirect_location else None
        return Response(response.status_code, media_type, location, bytes(body[: max_bytes + 1]))

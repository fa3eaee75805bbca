# SPDX-License-Identifier: Apache-2.0
"""Asking a server for something small that nobody trusts: the bytes of an answer are limited, and the time of all of it.

An event loop in a thread of its own asks. There, a limit holds for the whole answer, headers included, however slowly they come;
the callers may be many threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """kind: the media type. location: where it sends on to, if it does. body: one byte too many shows that it was cut off."""

    status: int
    kind: str
    location: str | None
    body: bytes


class SmallAnswers:
    """Keeps connections open between questions; nothing is opened before the first."""

    def __init__(self, headers: Mapping[str, str], *, proxies: bool) -> None:
        """proxies: whether those that the environment names are used."""
        self._headers, self._proxies = {"Accept-Encoding": "identity", "User-Agent": "pdfed", **headers}, proxies
        self._lock = threading.Lock()
        self._opened: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    def ask(self, method: str, address: str, max_bytes: int, first_byte_seconds: float, seconds: float) -> Answer:
        """One answer; no redirect is followed. Raises TimeoutError after `seconds`, httpx.HTTPError, httpx.InvalidURL."""
        loop, client = self._open()
        return asyncio.run_coroutine_threadsafe(
            _ask(client, method, address, max_bytes, first_byte_seconds, max(0.0, seconds)), loop
        ).result()

    def _open(self) -> tuple[asyncio.AbstractEventLoop, httpx.AsyncClient]:
        with self._lock:
            if self._opened is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, daemon=True).start()
                self._opened = loop, httpx.AsyncClient(headers=self._headers, trust_env=self._proxies)
            return self._opened


async def _ask(
    client: httpx.AsyncClient, method: str, address: str, max_bytes: int, first_byte_seconds: float, seconds: float
) -> Answer:
    timeout = httpx.Timeout(first_byte_seconds, connect=CONNECT_SECONDS)
    async with asyncio.timeout(seconds), client.stream(method, address, timeout=timeout) as answer:
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise httpx.DecodingError("the answer is compressed, which was not asked for")
        body = bytearray()
        async for part in answer.aiter_raw():
            body += part
            if len(body) > max_bytes:
                break
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        location = answer.headers.get("Location") if answer.has_redirect_location else None
        return Answer(answer.status_code, kind, location, bytes(body[: max_bytes + 1]))

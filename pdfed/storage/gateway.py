# SPDX-License-Identifier: Apache-2.0
"""`gateway:URL`: reading from any trustless HTTP gateway (IPFS Trustless Gateway spec), block by block; nothing is trusted."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from pdfed.storage.bounded_http import Answer, SmallAnswers
from pdfed.storage.cid import Cid
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.fallback import read_only
from pdfed.storage.reader import Reader
from pdfed.storage.storage_errors import ContentUnavailable, DeadlinePassed, StoreError, StoreUnreachable

FIRST_BYTE_SECONDS = 30.0  # a gateway has to find who has the content
BLOCK_SECONDS = 60.0  # for one block, from the question to its last byte
REDIRECTS = 3
RAW_BLOCK = "application/vnd.ipld.raw"
_NOT_THERE = (404, 410, 451, 504)
_TRY_LATER = "Try again later, or name another store with --store."


class GatewayStore(Reader):
    """Reads single blocks (`?format=raw`), which every trustless gateway must serve."""

    at_once = 8
    writable = False

    def __init__(self, url: str) -> None:
        """url: "https://HOST", with http:// for one on this machine. Raises StoreError."""
        self._base = url.rstrip("/") if "://" in url else f"https://{url.rstrip('/')}"
        try:
            parts = urlsplit(self._base)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(url)
        except ValueError as fault:
            raise StoreError(f"{url!r} is no address of a gateway.", "Name one as gateway:https://HOST.") from fault
        self._home = parts.hostname
        self._answers = SmallAnswers({"Accept": RAW_BLOCK}, proxies=True)

    @property
    def url(self) -> str:
        return f"gateway:{self._base}"

    def block(self, cid: Cid, deadline: float) -> bytes:
        seconds = min(deadline - time.monotonic(), BLOCK_SECONDS)
        try:
            answer = self._ask(f"{self._base}/ipfs/{cid}?format=raw", seconds)
        except TimeoutError as fault:
            raise DeadlinePassed(f"{self.url} did not send {cid} in {max(0.0, seconds):.0f} s.", _TRY_LATER) from fault
        except httpx.TimeoutException as fault:
            raise ContentUnavailable(f"{self.url} did not find {cid} in time.", _TRY_LATER) from fault
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            cause = f"{self.url} can't be used: {str(fault)[:200] or type(fault).__name__}."
            raise StoreUnreachable(cause, "Check the address and the network, or name another store with --store.") from fault
        if answer.status in _NOT_THERE:
            raise ContentUnavailable(f"{self.url} has no {cid} (status {answer.status}).", _TRY_LATER)
        if answer.status != 200:
            raise StoreUnreachable(f"{self.url} answers with status {answer.status}.", _TRY_LATER)
        if answer.kind != RAW_BLOCK:
            cause = f"{self.url} answers with {answer.kind[:60]!r}, not with raw blocks."
            raise StoreUnreachable(cause, "Name a trustless gateway, such as port 8080 of your own Kubo.")
        return answer.body

    def adding(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        raise read_only(self.url)

    def pin(self, cid: str, holder: str = "") -> None:
        raise read_only(self.url)

    def unpin(self, cid: str, holder: str = "") -> None:
        raise read_only(self.url)

    def has(self, cid: str) -> bool:
        """Always false: a gateway keeps nothing for us."""
        return False

    def _ask(self, address: str, seconds: float) -> Answer:
        end = time.monotonic() + seconds
        for _ in range(REDIRECTS + 1):
            answer = self._answers.ask("GET", address, MAX_BLOCK_BYTES, FIRST_BYTE_SECONDS, end - time.monotonic())
            if answer.location is None:
                return answer
            address = self._moved(address, answer.location)
        raise StoreUnreachable(f"{self.url} sends from one address to the next.", _TRY_LATER)

    def _moved(self, address: str, location: str) -> str:
        """The address a gateway sends on to: on the same host or one below it, and never from https to http."""
        try:
            target = urljoin(address, location)
            new = urlsplit(target)
        except ValueError as fault:
            raise httpx.InvalidURL(str(fault)) from fault
        same = new.hostname == self._home or (new.hostname or "").endswith(f".{self._home}")
        if not same or new.scheme not in ("https", urlsplit(address).scheme):
            raise StoreUnreachable(f"{self.url} sends on to {target[:120]!r}.", "Name that address as the store.")
        return target

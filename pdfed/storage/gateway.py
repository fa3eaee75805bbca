# SPDX-License-Identifier: Apache-2.0
"""`gateway:URL`: read-only store on any trustless HTTP gateway (IPFS Trustless Gateway spec), block by block, all verified."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from pdfed.storage.block_store import BlockStore
from pdfed.storage.bounded_http import BoundedClient, Response
from pdfed.storage.cid import Cid
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.fallback import read_only
from pdfed.storage.storage_errors import ContentUnavailable, DeadlinePassed, StoreError, StoreUnreachable

FIRST_BYTE_SECONDS = 30.0  # a gateway has to find a peer with the content
BLOCK_SECONDS = 60.0  # for one block, from the request to its last byte
REDIRECTS = 3
RAW_BLOCK = "application/vnd.ipld.raw"
_NOT_FOUND = (404, 410, 451, 504)
_TRY_LATER = "Try again later, or use another store with --store."


class GatewayStore(BlockStore):
    """Reads single blocks (`?format=raw`), which every trustless gateway must serve."""

    concurrency = 8
    writable = False

    def __init__(self, url: str) -> None:
        """url: "https://HOST", or "http://HOST" for a gateway of one's own. Raises StoreError."""
        self._base = url.rstrip("/") if "://" in url else f"https://{url.rstrip('/')}"
        try:
            parts = urlsplit(self._base)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(url)
        except ValueError as fault:
            raise StoreError(f"{url!r} is not the address of a gateway.", "Use gateway:https://HOST.") from fault
        self._host = parts.hostname
        self._client = BoundedClient({"Accept": RAW_BLOCK}, proxies=True)

    @property
    def url(self) -> str:
        return f"gateway:{self._base}"

    def block(self, cid: Cid, deadline: float) -> bytes:
        seconds = min(deadline - time.monotonic(), BLOCK_SECONDS)
        try:
            response = self._get(f"{self._base}/ipfs/{cid}?format=raw", seconds)
        except TimeoutError as fault:
            raise DeadlinePassed(f"{self.url} did not send {cid} in {max(0.0, seconds):.0f} s.", _TRY_LATER) from fault
        except httpx.TimeoutException as fault:
            raise ContentUnavailable(f"{self.url} did not find {cid} in time.", _TRY_LATER) from fault
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            cause = f"{self.url} can't be used: {str(fault)[:200] or type(fault).__name__}."
            raise StoreUnreachable(cause, "Check the address and the network, or use another store with --store.") from fault
        if response.status in _NOT_FOUND:
            raise ContentUnavailable(f"{self.url} has no {cid} (status {response.status}).", _TRY_LATER)
        if response.status != 200:
            raise StoreUnreachable(f"{self.url} answers with status {response.status}.", _TRY_LATER)
        if response.media_type != RAW_BLOCK:
            cause = f"{self.url} answers with {response.media_type[:60]!r}, not with raw blocks."
            raise StoreUnreachable(cause, "Use a trustless gateway, such as port 8080 of your own Kubo.")
        return response.body

    def add_steps(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        raise read_only(self.url)

    def pin(self, cid: str, holder: str = "") -> None:
        raise read_only(self.url)

    def unpin(self, cid: str, holder: str = "") -> None:
        raise read_only(self.url)

    def has(self, cid: str) -> bool:
        """Always False: a gateway keeps nothing for us."""
        return False

    def _get(self, address: str, seconds: float) -> Response:
        """GET with at most REDIRECTS redirects, within `seconds` for all of them."""
        end = time.monotonic() + seconds
        for _ in range(REDIRECTS + 1):
            response = self._client.request("GET", address, MAX_BLOCK_BYTES, FIRST_BYTE_SECONDS, end - time.monotonic())
            if response.location is None:
                return response
            address = self._redirect_target(address, response.location)
        raise StoreUnreachable(f"{self.url} redirects more than {REDIRECTS} times.", _TRY_LATER)

    def _redirect_target(self, address: str, location: str) -> str:
        """Resolve a redirect. Raises StoreUnreachable unless it stays on this host or a subdomain and never drops https."""
        try:
            target = urljoin(address, location)
            parts = urlsplit(target)
        except ValueError as fault:
            raise httpx.InvalidURL(str(fault)) from fault
        same_host = parts.hostname == self._host or (parts.hostname or "").endswith(f".{self._host}")
        if not same_host or parts.scheme not in ("https", urlsplit(address).scheme):
            raise StoreUnreachable(
                f"{self.url} redirects to {target[:120]!r}.", "If you trust that address, use it as the store."
            )
        return target

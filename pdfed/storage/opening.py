# SPDX-License-Identifier: Apache-2.0
"""Open a store by its URL, as in `--store`."""

from __future__ import annotations

import re

from pdfed.storage.fallback import FallbackStore
from pdfed.storage.local_store import LocalStore
from pdfed.storage.storage_errors import StoreError
from pdfed.storage.store import Store


def open_store(url: str) -> Store:
    """Open a store; no network request is made yet. Raises StoreError for a URL of an unknown kind.

    url: "local:PATH", "kubo:HOST:PORT" or "kubo:MULTIADDR" (RPC port of an IPFS daemon), "gateway:URL" (read-only), or several
    of them separated by commas.
    """
    stores = [_open(part.strip()) for part in re.split(r",\s*(?=(?:local|kubo|gateway):)", url)]
    return stores[0] if len(stores) == 1 else FallbackStore(stores)


def _open(url: str) -> Store:
    kind, colon, address = url.partition(":")
    if kind == "local" and address:
        return LocalStore(address)
    if kind == "kubo" and colon:
        from pdfed.storage.kubo import KuboStore

        return KuboStore(address)
    if kind == "gateway" and address:
        from pdfed.storage.gateway import GatewayStore

        return GatewayStore(address)
    raise StoreError(
        f"{url!r} is not the address of a store.",
        "Use local:PATH, kubo:127.0.0.1:5001 or gateway:https://HOST, or several with commas.",
    )

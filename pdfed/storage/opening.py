# SPDX-License-Identifier: Apache-2.0
"""How a store is named, and opened by its name."""

from __future__ import annotations

import re

from pdfed.storage.fallback import FallbackStore
from pdfed.storage.local_store import LocalStore
from pdfed.storage.storage_errors import StoreError
from pdfed.storage.store import Store


def open_store(url: str) -> Store:
    """The store that `url` names; nothing is asked of it yet. Raises StoreError if there is none of that kind.

    "local:PATH", "kubo:HOST:PORT" or "kubo:MULTIADDR" (the RPC port of an IPFS daemon), "gateway:URL" (read only), or several
    of them with commas between.
    """
    stores = [_open(one.strip()) for one in re.split(r",\s*(?=(?:local|kubo|gateway):)", url)]
    return stores[0] if len(stores) == 1 else FallbackStore(stores)


def _open(url: str) -> Store:
    kind, colon, place = url.partition(":")
    if kind == "local" and place:
        return LocalStore(place)
    if kind == "kubo" and colon:
        from pdfed.storage.kubo import KuboStore

        return KuboStore(place)
    if kind == "gateway" and place:
        from pdfed.storage.gateway import GatewayStore

        return GatewayStore(place)
    raise StoreError(
        f"{url!r} names no store known here.", "Name one as local:PATH, kubo:127.0.0.1:5001 or gateway:https://HOST, or several."
    )

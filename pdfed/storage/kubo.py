# SPDX-License-Identifier: Apache-2.0
"""`kubo:HOST:PORT`: store on an IPFS daemon (Kubo, or any with its RPC interface), through ipfshttpclient.

Publishing uploads a CAR stream of our own blocks, so the daemon's chunking settings don't matter; the daemon pins the root
before it releases its lock. Fetching reads single blocks, which the daemon finds in the network by bitswap.

ipfshttpclient 0.7.0: `connect()` refuses every daemon from 0.8 on, so the client is made without it; only calls whose path and
response have not changed since are used; without a timeout, an unknown CID waits for ever, so every call has one. It keeps a
response that is not chunked in memory as a whole, so blocks are read with our own client.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

os.environ.setdefault("PY_IPFS_HTTP_CLIENT_PATCH_REQUESTS", "no")  # else it patches private parts of urllib3
import ipfshttpclient
from ipfshttpclient import exceptions as rpc
from ipfshttpclient.client import DEFAULT_BASE
from ipfshttpclient.http_common import multiaddr_to_url_data

from pdfed.storage.block_store import BlockStore
from pdfed.storage.bounded_http import CONNECT_SECONDS, BoundedClient
from pdfed.storage.car import CarStream
from pdfed.storage.cid import Cid
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.prefetch import TICK_SECONDS
from pdfed.storage.storage_errors import BadCid, ContentUnavailable, DeadlinePassed, StoreError, StoreUnreachable
from pdfed.storage.tree import CHUNK_BYTES, cid_of
from pdfed.untrusted_json import read_json

DEFAULT_ADDRESS = "127.0.0.1:5001"
GRACE_SECONDS = 10.0  # on top of the daemon's own timeout; after that the daemon itself does not respond
FIND_SECONDS = 30.0  # for the daemon to find a block in the network
BLOCK_SECONDS = 60.0  # for one block, from the request to its last byte
STALL_SECONDS = 60.0  # for the daemon to take the next bytes of an import
IMPORT_SECONDS = 120.0  # for the daemon to respond after the last byte of an import
MAX_ERROR_BYTES = 10_000
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):([0-9]{1,5})")
_TRY_LATER = "Its author may not have published it yet, or no peer that has it is online; try again later."


class KuboStore(BlockStore):
    """Store on an IPFS daemon. Holders are ignored: a daemon counts one pin per CID, whoever set it."""

    concurrency = 8

    def __init__(self, address: str = DEFAULT_ADDRESS) -> None:
        """address: HOST:PORT or multiaddr of the RPC port; no request is made yet. Raises StoreError."""
        self._address = address or DEFAULT_ADDRESS
        self._block_client = BoundedClient({}, proxies=False)
        try:
            self._multiaddr = _multiaddr(self._address)
            self._base, socket_path, _, _ = multiaddr_to_url_data(self._multiaddr, DEFAULT_BASE)
            if socket_path is not None:
                raise ValueError(address)
        except (rpc.Error, ValueError) as fault:
            raise StoreError(
                f"{address!r} is not the address of an IPFS daemon.", "Use kubo:127.0.0.1:5001 or kubo:/ip4/127.0.0.1/tcp/5001."
            ) from fault

    @property
    def url(self) -> str:
        return f"kubo:{self._address}"

    def add_steps(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """Publish and pin a file or directory in steps of TICK_SECONDS. The daemon must confirm the CID that is computed here."""
        root = Cid.parse((yield from _in_thread(lambda: cid_of(path), lambda: 0)))
        car = CarStream(Path(path), root)
        try:
            yield from _in_thread(lambda: self._import(car, root), lambda: car.sent)
        finally:
            car.stopped = True  # if the caller stops taking steps, the request ends
        return str(root)

    def pin(self, cid: str, holder: str = "") -> None:
        """Pin content that the daemon has, or finds within FIND_SECONDS. Raises BadCid, ContentUnavailable, StoreUnreachable."""
        Cid.parse(cid)
        with self._requesting(ContentUnavailable, f"to pin {cid}"):
            self._client.pin.add(cid, opts=_daemon_timeout(FIND_SECONDS), timeout=_timeout(FIND_SECONDS))

    def unpin(self, cid: str, holder: str = "") -> None:
        """Remove the pin; the daemon's garbage collection frees the space. Raises BadCid, StoreUnreachable."""
        Cid.parse(cid)
        try:
            with self._requesting(StoreError, f"to unpin {cid}"):
                self._client.pin.rm(cid, timeout=_timeout(FIND_SECONDS))
        except StoreError as fault:
            if "not pinned" not in fault.cause:
                raise

    def has(self, cid: str) -> bool:
        """True if the daemon has pinned the content."""
        try:
            Cid.parse(cid)
            with self._requesting(ContentUnavailable, f"for the pin of {cid}"):
                response = self._client.pin.ls(cid, type="recursive", timeout=_timeout(FIND_SECONDS)).as_json()
            return isinstance(response, dict) and bool(response.get("Keys"))
        except (BadCid, ContentUnavailable):
            return False

    def block(self, cid: Cid, deadline: float) -> bytes:
        """Get a block that the daemon has, or finds in the network within FIND_SECONDS."""
        seconds = deadline - time.monotonic()
        find = max(0.1, min(FIND_SECONDS, seconds))
        url = f"{self._base}block/get?arg={cid}&timeout={int(find * 1000)}ms"
        try:
            response = self._block_client.request("POST", url, MAX_BLOCK_BYTES, find + GRACE_SECONDS, min(seconds, BLOCK_SECONDS))
        except (TimeoutError, httpx.ReadTimeout) as fault:
            raise DeadlinePassed(f"{self.url} did not send {cid} in time.", _TRY_LATER) from fault
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise self._no_answer() from fault
        if response.status == 200:
            return response.body
        message = _error_message(response.body)
        if message is None:
            raise self._not_a_daemon(f"status {response.status}")
        raise ContentUnavailable(f"{self.url} was asked for {cid}: {message}.", _TRY_LATER)

    @cached_property
    def _client(self) -> Any:
        client = ipfshttpclient.Client(self._multiaddr, chunk_size=CHUNK_BYTES, timeout=_timeout(FIND_SECONDS))
        client.__enter__()  # keeps connections open between calls
        return client

    def _import(self, car: CarStream, root: Cid) -> None:
        with self._requesting(StoreUnreachable, "to publish"):
            response = self._client.dag.imprt(car, opts={"pin-roots": "true"}, timeout=(STALL_SECONDS, IMPORT_SECONDS)).as_json()
        pinned = response.get("Root") if isinstance(response, dict) else None
        problem = pinned.get("PinErrorMsg") if isinstance(pinned, dict) else None
        if problem or _cid_in(pinned) != root:
            raise StoreUnreachable(
                f"{self.url} did not pin {root}: {str(problem or response)[:200]}.",
                "Check the daemon's log and its free disk space.",
            )

    @contextmanager
    def _requesting(self, refused: type[StoreError], purpose: str) -> Iterator[None]:
        """Convert ipfshttpclient's exceptions. refused: raised for an error message of the daemon itself."""
        try:
            yield
        except rpc.ErrorResponse as fault:
            raise refused(f"{self.url} was asked {purpose}: {str(fault)[:200]}.", _TRY_LATER) from fault
        except (rpc.TimeoutError, TimeoutError) as fault:
            cause = f"{self.url} was asked {purpose} and does not answer."
            raise StoreUnreachable(cause, "Check the daemon, or restart it.") from fault
        except (rpc.StatusError, rpc.ProtocolError, rpc.EncoderError, AssertionError) as fault:  # as_json() asserts one response
            raise self._not_a_daemon(str(fault)[:200]) from fault
        except (rpc.Error, OSError) as fault:  # requests' own errors are OSErrors
            raise self._no_answer() from fault

    def _not_a_daemon(self, response: str) -> StoreUnreachable:
        cause = f"{self.url} answers, but not as an IPFS daemon: {response}."
        return StoreUnreachable(cause, "Check the RPC port of the daemon (often 5001).")

    def _no_answer(self) -> StoreUnreachable:
        return StoreUnreachable(
            f"No IPFS daemon answers at {self._address}.",
            "Start it (`ipfs daemon`), check its RPC port (often 5001), or use another store with --store.",
        )


def _multiaddr(address: str) -> str:
    """Convert HOST:PORT to a multiaddr, which ipfshttpclient needs. Raises ValueError."""
    if address.startswith("/"):
        return address
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None:
        raise ValueError(address)
    host, port = match.groups()
    if host.startswith("["):
        return f"/ip6/{host[1:-1]}/tcp/{port}/http"
    kind = "ip4" if re.fullmatch(r"[0-9.]+", host) else "dns"
    return f"/{kind}/{host}/tcp/{port}/http"


def _timeout(seconds: float) -> tuple[float, float]:
    """Our timeouts (connect, read) for a call that the daemon itself limits to `seconds`."""
    return (CONNECT_SECONDS, seconds + GRACE_SECONDS)


def _daemon_timeout(seconds: float) -> dict[str, str]:
    """Option that limits a call in the daemon."""
    return {"timeout": f"{int(seconds * 1000)}ms"}


def _error_message(body: bytes) -> str | None:
    """The message in a daemon's error response; None if the response is not a daemon's."""
    try:
        error = read_json(body, MAX_ERROR_BYTES)
    except ValueError:
        return None
    return str(error["Message"])[:200] if isinstance(error, dict) and "Message" in error else None


def _cid_in(root: object) -> Cid | None:
    try:
        return Cid.parse(root["Cid"]["/"])  # type: ignore[index]
    except (BadCid, KeyError, TypeError):
        return None


def _in_thread(work: Callable[[], Any], progress: Callable[[], int]) -> Generator[int, None, Any]:
    """Run `work` in a thread. Yields `progress()` every TICK_SECONDS, returns the result of `work` or raises its exception."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as fault:
            outcome.set_exception(fault)

    threading.Thread(target=run, daemon=True).start()
    while not wait([outcome], TICK_SECONDS).done:
        yield progress()
    return outcome.result()

# SPDX-License-Identifier: Apache-2.0
"""`kubo:HOST:PORT`: an IPFS daemon through its RPC interface (Kubo's, or any that speaks it), by way of ipfshttpclient.

Content goes in as a CAR stream of our own blocks: what the daemon's import profile says about chunks changes nothing, and it
pins the root before it lets go of its lock. It comes out block by block, which the daemon finds in the network by bitswap.

ipfshttpclient 0.7.0: `connect()` refuses every daemon from 0.8 on, so the client is made without it; only calls whose path and
answer have not changed since are used; without a timeout, an unknown CID waits for ever, so every call has one. Its streams hold
all of an answer that is not sent in chunks, so blocks are read without it.
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

os.environ.setdefault("PY_IPFS_HTTP_CLIENT_PATCH_REQUESTS", "no")  # else it replaces private parts of urllib3
import ipfshttpclient
from ipfshttpclient import exceptions as rpc
from ipfshttpclient.client import DEFAULT_BASE
from ipfshttpclient.http_common import multiaddr_to_url_data

from pdfed.storage.bounded_http import CONNECT_SECONDS, SmallAnswers
from pdfed.storage.car import CarStream
from pdfed.storage.cid import Cid
from pdfed.storage.download import MAX_BLOCK_BYTES
from pdfed.storage.prefetch import TICK_SECONDS
from pdfed.storage.reader import Reader
from pdfed.storage.storage_errors import BadCid, ContentUnavailable, DeadlinePassed, StoreError, StoreUnreachable
from pdfed.storage.tree import CHUNK_BYTES, cid_of
from pdfed.untrusted_json import read_json

DEFAULT_PLACE = "127.0.0.1:5001"
ANSWER_SECONDS = 10.0  # more than the daemon was given itself: then it is the daemon that does not answer
FIND_SECONDS = 30.0  # for the daemon to find a block in the network
BLOCK_SECONDS = 60.0  # for one block, from the question to its last byte
STALL_SECONDS = 60.0  # for the daemon to take the next bytes of an import
IMPORT_SECONDS = 120.0  # for the daemon to answer after the last byte of an import
MAX_ERROR_BYTES = 10_000
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):([0-9]{1,5})")
_TRY_LATER = "Its author may not have published it yet, or no peer that has it is online; try again later."


class KuboStore(Reader):
    """The daemon's own pins keep content; it counts one pin per CID, whoever asked for it."""

    at_once = 8

    def __init__(self, place: str = DEFAULT_PLACE) -> None:
        """place: HOST:PORT or a multiaddr of the RPC port. Nothing is asked of the daemon yet. Raises StoreError."""
        self._place = place or DEFAULT_PLACE
        self._answers = SmallAnswers({}, proxies=False)
        try:
            self._address = _multiaddr(self._place)
            self._base, socket_path, _, _ = multiaddr_to_url_data(self._address, DEFAULT_BASE)
            if socket_path is not None:
                raise ValueError(place)
        except (rpc.Error, ValueError) as fault:
            raise StoreError(
                f"{place!r} is no address of an IPFS daemon.", "Name one as kubo:127.0.0.1:5001 or kubo:/ip4/127.0.0.1/tcp/5001."
            ) from fault

    @property
    def url(self) -> str:
        return f"kubo:{self._place}"

    def adding(self, path: Path, holder: str = "") -> Generator[int, None, str]:
        """Publish and pin a file or directory in steps of a tenth of a second. The CID is computed here first, and is what the
        daemon has to say at the end."""
        root = Cid.parse((yield from _in_thread(lambda: cid_of(path), lambda: 0)))
        car = CarStream(Path(path), root)
        try:
            yield from _in_thread(lambda: self._import(car, root), lambda: car.sent)
        finally:
            car.stopped = True  # a step that is not taken ends the request
        return str(root)

    def pin(self, cid: str, holder: str = "") -> None:
        """Pin content that the daemon has or finds in time. Raises BadCid, ContentUnavailable, StoreUnreachable."""
        Cid.parse(cid)
        with self._asking(ContentUnavailable, f"to pin {cid}"):
            self._client.pin.add(cid, opts=_within(FIND_SECONDS), timeout=_timeout(FIND_SECONDS))

    def unpin(self, cid: str, holder: str = "") -> None:
        """Take the pin away; the daemon's garbage collection frees the space. Raises BadCid, StoreUnreachable."""
        Cid.parse(cid)
        try:
            with self._asking(StoreError, f"to unpin {cid}"):
                self._client.pin.rm(cid, timeout=_timeout(FIND_SECONDS))
        except StoreError as fault:
            if "not pinned" not in fault.cause:
                raise

    def has(self, cid: str) -> bool:
        """Whether the daemon keeps the content: whether it is pinned."""
        try:
            Cid.parse(cid)
            with self._asking(ContentUnavailable, f"for the pin of {cid}"):
                found = self._client.pin.ls(cid, type="recursive", timeout=_timeout(FIND_SECONDS)).as_json()
            return isinstance(found, dict) and bool(found.get("Keys"))
        except (BadCid, ContentUnavailable):
            return False

    def block(self, cid: Cid, deadline: float) -> bytes:
        """From the daemon, or from the network through it."""
        left = deadline - time.monotonic()
        find = max(0.1, min(FIND_SECONDS, left))
        address = f"{self._base}block/get?arg={cid}&timeout={int(find * 1000)}ms"
        try:
            answer = self._answers.ask("POST", address, MAX_BLOCK_BYTES, find + ANSWER_SECONDS, min(left, BLOCK_SECONDS))
        except (TimeoutError, httpx.ReadTimeout) as fault:
            raise DeadlinePassed(f"{self.url} did not send {cid} in time.", _TRY_LATER) from fault
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise self._nobody() from fault
        if answer.status == 200:
            return answer.body
        said = _message(answer.body)
        if said is None:
            raise self._no_daemon(f"status {answer.status}")
        raise ContentUnavailable(f"{self.url} was asked for {cid}: {said}.", _TRY_LATER)

    @cached_property
    def _client(self) -> Any:
        client = ipfshttpclient.Client(self._address, chunk_size=CHUNK_BYTES, timeout=_timeout(FIND_SECONDS))
        client.__enter__()  # keeps connections open between calls
        return client

    def _import(self, car: CarStream, root: Cid) -> None:
        with self._asking(StoreUnreachable, "to publish"):
            answer = self._client.dag.imprt(car, opts={"pin-roots": "true"}, timeout=(STALL_SECONDS, IMPORT_SECONDS)).as_json()
        kept = answer.get("Root") if isinstance(answer, dict) else None
        problem = kept.get("PinErrorMsg") if isinstance(kept, dict) else None
        if problem or _cid_in(kept) != root:
            raise StoreUnreachable(
                f"{self.url} did not keep {root}: {str(problem or answer)[:200]}.", "Look at the daemon's log and free space."
            )

    @contextmanager
    def _asking(self, refused: type[StoreError], what: str) -> Iterator[None]:
        """Faults of the daemon as named errors; `refused` if it answers with an error of its own."""
        try:
            yield
        except rpc.ErrorResponse as fault:
            raise refused(f"{self.url} was asked {what}: {str(fault)[:200]}.", _TRY_LATER) from fault
        except (rpc.TimeoutError, TimeoutError) as fault:
            cause = f"{self.url} was asked {what} and does not answer."
            raise StoreUnreachable(cause, "Look at the daemon, or restart it.") from fault
        except (
            rpc.StatusError,
            rpc.ProtocolError,
            rpc.EncoderError,
            AssertionError,
        ) as fault:  # it asserts that there is one answer
            raise self._no_daemon(str(fault)[:200]) from fault
        except (rpc.Error, OSError) as fault:  # requests' own errors are OSErrors
            raise self._nobody() from fault

    def _no_daemon(self, said: str) -> StoreUnreachable:
        cause = f"{self.url} answers, but not as an IPFS daemon: {said}."
        return StoreUnreachable(cause, "Check the RPC port of the daemon (often 5001).")

    def _nobody(self) -> StoreUnreachable:
        return StoreUnreachable(
            f"No IPFS daemon answers at {self._place}.",
            "Start it (`ipfs daemon`), check its RPC port (often 5001), or name another store with --store.",
        )


def _multiaddr(place: str) -> str:
    """ipfshttpclient wants a multiaddr; people write HOST:PORT."""
    if place.startswith("/"):
        return place
    found = _HOST_AND_PORT.fullmatch(place)
    if found is None:
        raise ValueError(place)
    host, port = found.groups()
    if host.startswith("["):
        return f"/ip6/{host[1:-1]}/tcp/{port}/http"
    kind = "ip4" if re.fullmatch(r"[0-9.]+", host) else "dns"
    return f"/{kind}/{host}/tcp/{port}/http"


def _timeout(seconds: float) -> tuple[float, float]:
    return (CONNECT_SECONDS, seconds + ANSWER_SECONDS)


def _within(seconds: float) -> dict[str, str]:
    """How long the daemon itself may try."""
    return {"timeout": f"{int(seconds * 1000)}ms"}


def _message(body: bytes) -> str | None:
    """What a daemon says is wrong; None where no daemon speaks."""
    try:
        said = read_json(body, MAX_ERROR_BYTES)
    except ValueError:
        return None
    return str(said["Message"])[:200] if isinstance(said, dict) and "Message" in said else None


def _cid_in(kept: object) -> Cid | None:
    try:
        return Cid.parse(kept["Cid"]["/"])  # type: ignore[index]
    except (BadCid, KeyError, TypeError):
        return None


def _in_thread(work: Callable[[], Any], progress: Callable[[], int]) -> Generator[int, None, Any]:
    """Do it beside the caller, who is told the progress now and then."""
    answer: Future[Any] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as fault:
            answer.set_exception(fault)

    threading.Thread(target=run, daemon=True).start()
    while not wait([answer], TICK_SECONDS).done:
        yield progress()
    return answer.result()

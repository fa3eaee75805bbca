# SPDX-License-Identifier: Apache-2.0
"""HTTP server on this machine that serves raw blocks like a gateway or a daemon's RPC port, with faults that a test chooses."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pdfed.storage.cid import Cid
from pdfed.storage.tree import blocks_of

RAW_BLOCK = "application/vnd.ipld.raw"
Lie = Callable[["Answer", bytes], None]


class Answer(BaseHTTPRequestHandler):
    """Handler of one request. The server's `lie` chooses the response."""

    protocol_version = "HTTP/1.1"
    server: Gateway

    def do_GET(self) -> None:
        self.answer(Cid.parse(self.path.removeprefix("/ipfs/").partition("?")[0]))

    def do_POST(self) -> None:
        if urlsplit(self.path).path.endswith("/dag/import"):
            whole = self.upload()
            self.server.uploads.put(whole)
            if whole:
                self.give(self.server.imported, kind="application/json")
            self.close_connection = not whole
        else:
            self.answer(Cid.parse(parse_qs(urlsplit(self.path).query)["arg"][0]))

    def upload(self) -> bool:
        """Read a chunked body. Returns True if it is complete."""
        while (line := self.rfile.readline()) and (size := int(line, 16)):
            self.rfile.read(size + 2)
            self.server.taking.wait()
        self.rfile.readline()
        return bool(line)

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def answer(self, cid: Cid) -> None:
        self.server.asked.append(cid)
        block = self.server.blocks.get(cid)
        if block is None:
            self.send_error(404)
        elif len(self.server.asked) > self.server.honest_for:
            self.server.lie(self, block)
        else:
            self.give(block)

    def give(self, body: bytes, kind: str = RAW_BLOCK, length: int | None = None, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        self.server.sent += len(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


class Gateway(ThreadingHTTPServer):
    """asked: the requested CIDs; sent: bytes of blocks; honest_for: number of right responses before it lies.

    imported: response to an upload; uploads: for each, True if it was complete; taking: cleared while it reads no more.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.blocks: dict[Cid, bytes] = {}
        self.asked: list[Cid] = []
        self.sent = 0
        self.imported = b""
        self.uploads: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.taking = threading.Event()
        self.taking.set()
        self.honest_for = 10**9
        self.lie: Lie = lambda answer, block: answer.give(block)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def hold(self, path: Path) -> str:
        """Serve the content of `path`. Returns its CID."""
        blocks = blocks_of(path)
        while True:
            try:
                cid, block = next(blocks)
            except StopIteration as end:
                return str(end.value)
            self.blocks[cid] = block


@contextmanager
def serving() -> Iterator[Gateway]:
    gateway = Gateway()
    thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        gateway.shutdown()
        gateway.server_close()


def flipped_byte(answer: Answer, block: bytes) -> None:
    answer.give(bytes([block[0] ^ 1]) + block[1:])


def truncated(answer: Answer, block: bytes) -> None:
    """Send fewer bytes than Content-Length, then close the connection."""
    answer.give(block[: len(block) // 2], length=len(block))
    answer.close_connection = True


def shortened(answer: Answer, block: bytes) -> None:
    """Send fewer bytes than the block, with a right Content-Length."""
    answer.give(block[:-1])


def endless(answer: Answer, block: bytes) -> None:
    answer.send_response(200)
    answer.send_header("Content-Type", RAW_BLOCK)
    answer.end_headers()
    while True:
        answer.wfile.write(bytes(1 << 16))
        answer.server.sent += 1 << 16


def slow_body(answer: Answer, block: bytes) -> None:
    answer.send_response(200)
    answer.send_header("Content-Type", RAW_BLOCK)
    answer.send_header("Content-Length", str(len(block)))
    answer.end_headers()
    for byte in block:
        answer.wfile.write(bytes([byte]))
        time.sleep(0.05)


def slow_headers(answer: Answer, block: bytes) -> None:
    """Slow loris: send header lines for ever."""
    answer.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        answer.wfile.write(b"X-A: b\r\n")
        time.sleep(0.05)


def silent(answer: Answer, block: bytes) -> None:
    time.sleep(30)


def web_page(answer: Answer, block: bytes) -> None:
    answer.give(b"<html>Welcome</html>", kind="text/html")


def squeezed(answer: Answer, block: bytes) -> None:
    """Claim a compressed body, as of a zip bomb."""
    answer.give(block, Content_Encoding="gzip")


def out_of_order(answer: Answer, block: bytes) -> None:
    answer.send_error(500)


def sends_to_a_stranger(answer: Answer, block: bytes) -> None:
    answer.send_response(302)
    answer.send_header("Location", "http://192.0.2.1/admin/delete")
    answer.send_header("Content-Length", "0")
    answer.end_headers()


def sends_in_circles(answer: Answer, block: bytes) -> None:
    answer.send_response(302)
    answer.send_header("Location", answer.path)
    answer.send_header("Content-Length", "0")
    answer.end_headers()

# SPDX-License-Identifier: Apache-2.0
"""The loop of `ape run node`: step after step until a limit is reached or Ctrl-C; rests while there is nothing to do.

The chain and the store may be unreachable for a while: the loop waits, twice as long after each failure, and tries again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

from pdfed.chain.chain_errors import NodeUnreachable
from pdfed.node.core import Node
from pdfed.storage import StoreUnreachable

IDLE_SECONDS = 1.0
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 2.0, 60.0  # while the chain or the store does not answer
SHOW_SECONDS = 2.0  # at most one line about training or scoring in this time

Say = Callable[[str], None]


class StopRequest:
    """Ctrl-C (SIGINT) or SIGTERM: the first one ends the loop after its step, the second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self, say: Say) -> None:
        """Install the signal handlers; works in the main thread only."""

        def handler(number: int, frame: FrameType | None) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.requested = True
            say("\nFinishing the current step… (Ctrl-C again stops at once)")

        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGTERM, handler)

    def rest(self, seconds: float) -> None:
        """Sleep for `seconds`, or until a stop is requested."""
        end = time.monotonic() + seconds
        while not self.requested and time.monotonic() < end:
            time.sleep(0.1)


def run_loop(
    node: Node, stop: StopRequest, say: Say, *, until_settled: int | None = None, until_published: int | None = None
) -> None:
    """Step the node until a stop is requested or a limit is reached.

    say: gets a line per activity, fewer while the node trains or scores.
    until_settled: return once this number of the task's models is settled and nothing of this node is pending.
    until_published: return once this node has published this number of models.
    """
    shown, retry_after, last_wait = 0.0, FIRST_RETRY_SECONDS, ""
    while not stop.requested:
        try:
            activity = node.step()
        except (NodeUnreachable, StoreUnreachable) as fault:
            say(_stamped(f"{type(fault).__name__}: {fault.cause} Trying again in {retry_after:.0f} s."))
            stop.rest(retry_after)
            retry_after = min(2 * retry_after, LONGEST_RETRY_SECONDS)
            continue
        retry_after = FIRST_RETRY_SECONDS
        if until_published is not None and node.submissions.published_count() >= until_published:
            return
        line = f"{activity.kind}: {activity.text}"
        if activity.kind == "idle":
            if until_settled is not None and not node.busy and node.settled_count >= until_settled:
                return
            if line != last_wait:
                last_wait = line
                say(_stamped(line))
            stop.rest(IDLE_SECONDS)
        elif activity.kind not in ("train", "score") or time.monotonic() - shown > SHOW_SECONDS:
            shown = time.monotonic()
            say(_stamped(line))


def _stamped(line: str) -> str:
    return f"{time.strftime('%H:%M:%S')} {line}"

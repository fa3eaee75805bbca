# SPDX-License-Identifier: Apache-2.0
"""The loop of `ape run node`: it ends at its limits or at Ctrl-C, and outlasts a chain or a store that does not answer."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pdfed.chain.chain_errors import NodeUnreachable
from pdfed.node.core import Activity
from pdfed.node.loop import StopRequest, run_loop
from pdfed.storage import StoreUnreachable

IDLE = Activity("idle", "waiting for submissions")


class Rests(StopRequest):
    """Rests that are noted instead of slept."""

    def __init__(self) -> None:
        super().__init__()
        self.rests: list[float] = []

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)


class Scripted:
    """A node whose steps are given: activities are returned, errors raised; the last one is repeated."""

    def __init__(self, *steps: Activity | Exception, settled: int = 0) -> None:
        self._steps = list(steps)
        self.taken, self.published, self.busy, self.settled_count = 0, 0, False, settled
        self.submissions = SimpleNamespace(published_count=lambda: self.published)

    def step(self) -> Activity:
        step = self._steps[min(self.taken, len(self._steps) - 1)]
        self.taken += 1
        if isinstance(step, Exception):
            raise step
        if step.kind == "publish":
            self.published += 1
        return step


def lines_of(node: Any, stop: StopRequest, **limits: int) -> list[str]:
    """Run the loop; its lines without their times."""
    lines: list[str] = []
    run_loop(node, stop, lines.append, **limits)
    return [line.partition(" ")[2] for line in lines]


def test_what_does_not_answer_is_tried_again_after_longer_and_longer_rests() -> None:
    fault = NodeUnreachable("http://there", "refused")
    node, stop = (
        Scripted(*[fault] * 7, Activity("chain", "register"), StoreUnreachable("No daemon.", ""), IDLE, settled=1),
        Rests(),
    )
    lines = lines_of(node, stop, until_settled=1)
    assert stop.rests == [2, 4, 8, 16, 32, 60, 60, 2]
    assert lines[0] == f"NodeUnreachable: {fault.cause} Trying again in 2 s."
    assert lines[-2:] == ["chain: register", "StoreUnreachable: No daemon. Trying again in 2 s."]


def test_it_ends_at_its_limits_and_says_once_what_it_waits_for() -> None:
    publish = Activity("publish", "published bafy")
    node = Scripted(publish, IDLE, IDLE, publish)
    assert lines_of(node, Rests(), until_published=2) == ["publish: published bafy", "idle: waiting for submissions"]
    assert node.taken == 4
    node = Scripted(IDLE, settled=2)
    assert lines_of(node, Rests(), until_settled=2) == [] and node.taken == 1


def test_training_and_scoring_are_shown_every_two_seconds_only() -> None:
    node = Scripted(*[Activity("train", f"{images} images") for images in range(50)], IDLE, settled=1)
    assert lines_of(node, Rests(), until_settled=1) == ["train: 0 images"]


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_the_loop_after_its_step_and_the_second_one_at_once(number: signal.Signals) -> None:
    stop, said = StopRequest(), []
    stop.listen(said.append)
    signal.raise_signal(number)
    assert stop.requested and len(said) == 1
    stop.rest(600)  # returns at once
    node = Scripted(IDLE)
    run_loop(node, stop, said.append)  # type: ignore[arg-type]
    assert node.taken == 0
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)

# SPDX-License-Identifier: Apache-2.0
"""Progress bar of an upload or download, in bytes."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

Result = TypeVar("Result")


def show_bytes(title: str, steps: Generator[int, None, Result], total: int | None = None) -> Result:
    """Run an upload or download that yields the bytes done so far; return its result. total: bytes, if known."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=total)
        while True:
            try:
                bar.update(task, completed=next(steps))
            except StopIteration as end:
                bar.update(task, total=bar.tasks[task].completed)
                return end.value

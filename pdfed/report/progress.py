# SPDX-License-Identifier: Apache-2.0
"""Up- and downloads on the terminal, in bytes."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

Result = TypeVar("Result")


def show_bytes(what: str, steps: Generator[int, None, Result], total: int | None = None) -> Result:
    """Take all steps of an up- or download, showing what they yield; returns what they return. total: in bytes, if known."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(what, total=total)
        while True:
            try:
                bar.update(task, completed=next(steps))
            except StopIteration as end:
                bar.update(task, total=bar.tasks[task].completed)
                return end.value

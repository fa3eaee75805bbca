# SPDX-License-Identifier: Apache-2.0
"""Results of an experiment in one folder: tables, figures and single values."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ProgressBar:
    """One bar on the terminal."""

    def __init__(self, bar: Progress, total: float, what: str) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=total)

    def advance(self, count: float = 1) -> None:
        """Move the bar by `count` steps."""
        self._bar.advance(self._task, count)


class Record:
    """Folder of one run. Tables become NAME.csv and NAME.md, figures NAME.png; results.json holds all values and tables."""

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self.folder = folder
        self.console = console or Console()
        self.facts: dict[str, Any] = {}
        self.tables: dict[str, list[dict[str, Any]]] = {}

    def say(self, text: str) -> None:
        """Print one line of progress."""
        self.console.print(text, style="dim", highlight=False)

    @contextmanager
    def progress(self, total: float, what: str) -> Iterator[ProgressBar]:
        """Show a progress bar over `total` steps (any unit), labelled `what`."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            yield ProgressBar(bar, total, what)

    def fact(self, name: str, value: Any) -> None:
        """Record a single value (anything that JSON can hold)."""
        self.facts[name] = value

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record a table: rows of the same columns. Written at once, so that a killed run leaves its tables so far."""
        copied = [dict(row) for row in rows]
        self.tables[name] = copied
        columns = list(copied[0]) if copied else []
        with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(copied)
        (self.folder / f"{name}.md").write_text(markdown(columns, copied), encoding="utf-8")

    @contextmanager
    def figure(self, name: str, width: float = 8.0, height: float = 4.5) -> Iterator[Figure]:
        """Yield an empty matplotlib figure of `width`×`height` inches; save it as NAME.png when the block ends."""
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(width, height), dpi=110, layout="constrained")
        try:
            yield figure
            figure.savefig(self.folder / f"{name}.png")
        finally:
            plt.close(figure)

    def save(self) -> None:
        """Write results.json with every value and table."""
        content = json.dumps({**self.facts, "tables": self.tables}, indent=1)
        (self.folder / "results.json").write_text(content, encoding="utf-8")


def markdown(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the rows as a Markdown table; floats with four significant digits."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

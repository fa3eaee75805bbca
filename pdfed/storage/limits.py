# SPDX-License-Identifier: Apache-2.0
"""Limits on files and directories of content. Fetching enforces them on strangers' content, publishing on our own."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from pdfed.storage.storage_errors import StoreError

MAX_DEPTH = 8  # of directories, and of a file's inner nodes: 174 links to a node make 174⁸ chunks
MAX_ENTRIES = 1_000  # of all directories together
MAX_NAME_BYTES = 255


def name_problem(names: Collection[str]) -> str | None:
    """Describe the first problem with the names in one directory; None if all are plain path components on every system."""
    for name in names:
        plain = name.isprintable() and "/" not in name and "\\" not in name
        if name in ("", ".", "..") or not plain or len(name.encode()) > MAX_NAME_BYTES:
            return f"has a file with the name {name[:60]!r}"
    if len({name.casefold() for name in names}) != len(names):
        return "has names that differ in case only"
    return None


def check_publishable(root: Path) -> None:
    """Raise StoreError if fetching would refuse the directory `root`. Reads names only, so it is cheap for gigabytes."""
    entries = 0
    for folder, folders, files in os.walk(root):
        entries += len(folders) + len(files)
        if problem := name_problem([*folders, *files]):
            raise StoreError(f"{folder} {problem}, which every node refuses.", "Rename it.")
        if entries > MAX_ENTRIES:
            raise StoreError(f"{root} has more than {MAX_ENTRIES} files and directories.", "Put fewer into it.")
        if len(Path(folder).relative_to(root).parts) >= MAX_DEPTH:
            raise StoreError(f"{root} has directories more than {MAX_DEPTH} deep.", "Nest them less deep.")

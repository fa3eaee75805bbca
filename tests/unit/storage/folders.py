# SPDX-License-Identifier: Apache-2.0
"""Helpers of the local store's tests: make bundles, fetch them, list stored blocks."""

from __future__ import annotations

from pathlib import Path

from pdfed.storage import LocalStore

BIG = 10**9


def fetched(store: LocalStore, cid: str, dest: Path) -> Path:
    store.fetch(cid, dest, BIG, 60)
    return dest


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def block_files(store: LocalStore) -> list[Path]:
    return [path for path in (store.root / "blocks").rglob("b*") if path.is_file()]


def bundle_of(folder: Path, **files: bytes) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def files_of(store: LocalStore) -> set[str]:
    return {path.name for path in block_files(store)}

# SPDX-License-Identifier: Apache-2.0
"""Partial downloads: interrupted, resumed, swept or disturbed by others, and the content that reaches the destination."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdfed.storage import ContentTooLarge, LocalStore, StoreError, cid_of, sweep_partials
from pdfed.storage.cid import Cid
from pdfed.storage.tree import CHUNK_BYTES
from tests.unit.storage.folders import BIG, bundle_of, fetched, names_in


def test_a_stopped_fetch_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    steps = store.fetch_steps(store.add(tmp_path / "f"), tmp_path / "out", BIG, 60)
    assert [next(steps), next(steps)] == [0, CHUNK_BYTES]
    assert len(names_in(tmp_path)) == 3  # the partial folder beside the destination
    steps.close()  # type: ignore[attr-defined]
    assert names_in(tmp_path) == ["f", "store"]


def test_what_a_killed_fetch_left_goes_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    child = os.fork()
    if child == 0:
        steps = store.fetch_steps(cid, tmp_path / "out", BIG, 60)
        next(steps)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(names_in(tmp_path)) == 3
    fetched(store, cid, tmp_path / "out")
    assert names_in(tmp_path) == ["f", "out", "store"]


def test_two_fetches_of_the_same_content_do_not_disturb_each_other(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    first = store.fetch_steps(cid, tmp_path / "out", BIG, 60)
    next(first)
    fetched(store, cid, tmp_path / "out")
    list(first)
    assert cid_of(tmp_path / "out") == cid
    assert names_in(tmp_path) == ["f", "out", "store"]


def test_a_folder_that_another_fetch_completed_meanwhile_is_taken(tmp_path: Path) -> None:
    """Regression: renaming to a non-empty folder fails, and the error blamed the path and its permissions."""
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle_of(tmp_path / "bundle", f=bytes(2 * CHUNK_BYTES + 5)))
    first = store.fetch_steps(cid, tmp_path / "out", BIG, 60)
    next(first)
    fetched(store, cid, tmp_path / "out")
    list(first)
    assert cid_of(tmp_path / "out") == cid
    assert names_in(tmp_path) == ["bundle", "out", "store"]


def test_other_content_that_came_to_the_same_place_meanwhile_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    steps = store.fetch_steps(store.add(bundle_of(tmp_path / "bundle", f=b"content")), tmp_path / "out", BIG, 60)
    next(steps)
    bundle_of(tmp_path / "out", precious=b"content")
    with pytest.raises(StoreError, match="exists already"):
        list(steps)
    assert names_in(tmp_path / "out") == ["precious"]
    assert names_in(tmp_path) == ["bundle", "out", "store"]


def test_a_draft_that_is_swept_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: another process took a folder that is not locked yet for the leftover of a killed one."""
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle_of(tmp_path / "bundle", f=b"content"))
    made: list[str] = []
    mkdtemp = tempfile.mkdtemp

    def swept(**options: Any) -> str:
        made.append(mkdtemp(**options))
        if len(made) == 1:
            sweep_partials(tmp_path, [])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", swept)
    assert cid_of(fetched(store, cid, tmp_path / "out")) == cid
    assert len(made) == 2
    assert names_in(tmp_path) == ["bundle", "out", "store"]


def test_an_interrupted_fetch_goes_on_where_it_was(tmp_path: Path) -> None:
    content = os.urandom(6 * CHUNK_BYTES + 5)
    (tmp_path / "f").write_bytes(content)
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    steps = store.fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < 4 * CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    (part,) = (path for path in tmp_path.glob(".out.part-*/*"))
    assert part.stat().st_size == 4 * CHUNK_BYTES
    part.write_bytes(b"?" + part.read_bytes()[1:])  # a disk fault: detected and fetched again
    for index in (1, 2, 3):
        store._block_path(Cid.of(0x55, content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])).unlink()
    list(store.fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True))
    assert (tmp_path / "out").read_bytes() == content
    assert names_in(tmp_path) == ["f", "out", "store"]


def test_what_was_begun_of_other_content_is_not_used(tmp_path: Path) -> None:
    """Same destination, another CID: no bytes of the longer, unfinished file remain in the new one."""
    (tmp_path / "long").write_bytes(os.urandom(4 * CHUNK_BYTES))
    (tmp_path / "short").write_bytes(os.urandom(2 * CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    long, short = store.add(tmp_path / "long"), store.add(tmp_path / "short")
    steps = store.fetch_steps(long, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < 3 * CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    list(store.fetch_steps(short, tmp_path / "out", BIG, 60, resume=True))
    assert cid_of(tmp_path / "out") == short
    assert names_in(tmp_path) == ["long", "out", "short", "store"]


def folder_in(place: Path) -> None:
    place.mkdir()
    (place / "inner").write_bytes(b"?")


@pytest.mark.parametrize("at", ["z", "inner/z", "inner", "inner/y", "a", "."])
@pytest.mark.parametrize(
    "stranger",
    [lambda place: place.write_bytes(b"?"), folder_in, lambda place: place.symlink_to("/etc"), os.mkfifo],
    ids=["file", "folder", "link", "pipe"],
)
def test_what_is_not_in_the_content_does_not_come_with_it(tmp_path: Path, at: str, stranger: Callable[[Path], None]) -> None:
    """Regression: foreign files in a resumed partial folder reached the destination, as if they were part of the content."""
    bundle = bundle_of(tmp_path / "bundle", a=b"a", b=os.urandom(2 * CHUNK_BYTES))
    (bundle / "inner").mkdir()
    (bundle / "inner" / "y").write_bytes(b"y")
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle)
    steps = store.fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    (draft,) = tmp_path.glob(f".out.part-*/{cid}")
    place = draft / at
    if at == ".":
        shutil.rmtree(place)
    elif place.is_file():
        place.unlink()
    elif not place.parent.exists():
        place.parent.mkdir()
    stranger(place)
    list(store.fetch_steps(cid, tmp_path / "out", BIG, 60, resume=True))
    assert not (tmp_path / "out").is_symlink()
    assert cid_of(tmp_path / "out") == cid
    assert names_in(tmp_path) == ["bundle", "out", "store"]


def test_refused_content_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "a").write_bytes(bytes(CHUNK_BYTES))
    (folder / "b").write_bytes(bytes(CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    with pytest.raises(ContentTooLarge):
        list(store.fetch_steps(store.add(folder), tmp_path / "out", CHUNK_BYTES, 60, resume=True))
    assert names_in(tmp_path) == ["bundle", "store"]


def test_forgotten_downloads_are_swept(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(os.urandom(3 * CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    at_work = []
    for name in ("wanted", "forgotten", "at work"):
        steps = store.fetch_steps(cid, tmp_path / name, BIG, 60, resume=True)
        while next(steps) < 2 * CHUNK_BYTES:
            pass
        at_work.append(steps)
    for steps in at_work[:2]:
        steps.close()  # type: ignore[attr-defined]
    sweep_partials(tmp_path, ["wanted"])
    assert [name.partition(".part-")[0] for name in names_in(tmp_path)] == [".at work", ".wanted", "f", "store"]
    list(at_work[2])

# SPDX-License-Identifier: Apache-2.0
"""Where content grows: what was begun, stopped, forgotten or disturbed there, and what then comes to the destination."""

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
    steps = store.fetching(store.add(tmp_path / "f"), tmp_path / "out", BIG, 60)
    assert [next(steps), next(steps)] == [0, CHUNK_BYTES]
    assert len(names_in(tmp_path)) == 3  # the growing content, beside its destination
    steps.close()  # type: ignore[attr-defined]
    assert names_in(tmp_path) == ["f", "store"]


def test_what_a_killed_fetch_left_goes_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK_BYTES + 5))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    child = os.fork()
    if child == 0:
        steps = store.fetching(cid, tmp_path / "out", BIG, 60)
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
    first = store.fetching(cid, tmp_path / "out", BIG, 60)
    next(first)
    fetched(store, cid, tmp_path / "out")
    list(first)
    assert cid_of(tmp_path / "out") == cid
    assert names_in(tmp_path) == ["f", "out", "store"]


def test_a_folder_that_another_fetch_completed_meanwhile_is_taken(tmp_path: Path) -> None:
    """Regression: a rename to a folder that is not empty fails, and the path and its permissions were blamed."""
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle_of(tmp_path / "bundle", f=bytes(2 * CHUNK_BYTES + 5)))
    first = store.fetching(cid, tmp_path / "out", BIG, 60)
    next(first)
    fetched(store, cid, tmp_path / "out")
    list(first)
    assert cid_of(tmp_path / "out") == cid
    assert names_in(tmp_path) == ["bundle", "out", "store"]


def test_other_content_that_came_to_the_same_place_meanwhile_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    steps = store.fetching(store.add(bundle_of(tmp_path / "bundle", f=b"content")), tmp_path / "out", BIG, 60)
    next(steps)
    bundle_of(tmp_path / "out", precious=b"content")
    with pytest.raises(StoreError, match="exists already"):
        list(steps)
    assert names_in(tmp_path / "out") == ["precious"]
    assert names_in(tmp_path) == ["bundle", "out", "store"]


def test_a_draft_that_is_swept_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: to another process a folder without a lock is one that a killed process left."""
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle_of(tmp_path / "bundle", f=b"content"))
    made: list[str] = []
    mkdtemp = tempfile.mkdtemp

    def swept(**given: Any) -> str:
        made.append(mkdtemp(**given))
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
    steps = store.fetching(cid, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < 4 * CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    (part,) = (path for path in tmp_path.glob(".out.part-*/*"))
    assert part.stat().st_size == 4 * CHUNK_BYTES
    part.write_bytes(b"?" + part.read_bytes()[1:])  # a fault of the disk: found out and fetched again
    for index in (1, 2, 3):
        store._place(Cid.of(0x55, content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])).unlink()
    list(store.fetching(cid, tmp_path / "out", BIG, 60, resume=True))
    assert (tmp_path / "out").read_bytes() == content
    assert names_in(tmp_path) == ["f", "out", "store"]


def test_what_was_begun_of_other_content_is_not_used(tmp_path: Path) -> None:
    """The same place, another CID: the longer file that was begun there leaves nothing in the new one."""
    (tmp_path / "long").write_bytes(os.urandom(4 * CHUNK_BYTES))
    (tmp_path / "short").write_bytes(os.urandom(2 * CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    long, short = store.add(tmp_path / "long"), store.add(tmp_path / "short")
    steps = store.fetching(long, tmp_path / "out", BIG, 60, resume=True)
    while next(steps) < 3 * CHUNK_BYTES:
        pass
    steps.close()  # type: ignore[attr-defined]
    list(store.fetching(short, tmp_path / "out", BIG, 60, resume=True))
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
    """Regression: what lay in a draft that is gone on with came to the destination, as if the CID had named it."""
    bundle = bundle_of(tmp_path / "bundle", a=b"a", b=os.urandom(2 * CHUNK_BYTES))
    (bundle / "inner").mkdir()
    (bundle / "inner" / "y").write_bytes(b"y")
    store = LocalStore(tmp_path / "store")
    cid = store.add(bundle)
    steps = store.fetching(cid, tmp_path / "out", BIG, 60, resume=True)
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
    list(store.fetching(cid, tmp_path / "out", BIG, 60, resume=True))
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
        list(store.fetching(store.add(folder), tmp_path / "out", CHUNK_BYTES, 60, resume=True))
    assert names_in(tmp_path) == ["bundle", "store"]


def test_forgotten_downloads_are_swept(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(os.urandom(3 * CHUNK_BYTES))
    store = LocalStore(tmp_path / "store")
    cid = store.add(tmp_path / "f")
    at_work = []
    for name in ("wanted", "forgotten", "at work"):
        steps = store.fetching(cid, tmp_path / name, BIG, 60, resume=True)
        while next(steps) < 2 * CHUNK_BYTES:
            pass
        at_work.append(steps)
    for steps in at_work[:2]:
        steps.close()  # type: ignore[attr-defined]
    sweep_partials(tmp_path, ["wanted"])
    assert [name.partition(".part-")[0] for name in names_in(tmp_path)] == [".at work", ".wanted", "f", "store"]
    list(at_work[2])

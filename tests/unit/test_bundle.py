# SPDX-License-Identifier: Apache-2.0
"""A bundle's files are there and bounded before anything in them is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdfed.bundle import CARD, MANIFEST, MAX_CARD_BYTES, MAX_MANIFEST_BYTES, WEIGHTS, BundleRejected, open_bundle, write_card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / MANIFEST).write_bytes(b"manifest")
    write_card(tmp_path, {"title": "a model"})
    return tmp_path


def test_a_whole_bundle_opens(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert (bundle.manifest, bundle.card()) == (b"manifest", {"title": "a model"})


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST, CARD])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleRejected, match=name):
        open_bundle(folder)


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST, CARD])
def test_a_link_is_no_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/etc/hostname")
    with pytest.raises(BundleRejected, match=name):
        open_bundle(folder)


@pytest.mark.parametrize(("name", "limit"), [(MANIFEST, MAX_MANIFEST_BYTES), (CARD, MAX_CARD_BYTES)])
def test_an_overlong_file_is_refused_unread(folder: Path, name: str, limit: int) -> None:
    with (folder / name).open("wb") as file:
        file.truncate(limit + 1)
    with pytest.raises(BundleRejected, match=str(limit)):
        open_bundle(folder)


@pytest.mark.parametrize("card", [b"", b"[1]", b"{", b"\xff", b"[" * 50_000])
def test_a_card_that_holds_no_fields_is_refused(folder: Path, card: bytes) -> None:
    (folder / CARD).write_bytes(card)
    with pytest.raises(BundleRejected, match=CARD):
        open_bundle(folder).card()

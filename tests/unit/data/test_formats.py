# SPDX-License-Identifier: Apache-2.0
"""Data sets as distributed (.bin, idx, .mat, .npz) are read exactly; whatever is wrong with a file is an error by name."""

import gzip
import io
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from pdfed.data import ImageSet, NoPictures, SourceUnreadable, UnknownClass, classes_in, formats, has_numbered_classes, load
from pdfed.errors import PDFedError
from pdfed.spec import Images

TEN = tuple("0123456789")
GREY = Images(size=28, channels=1, classes=TEN)
COLOUR = Images(size=32, channels=3, classes=TEN)
ONE = Images(size=32, channels=3, classes=("picture",))

Write = Callable[[Path, np.ndarray, np.ndarray], None]


def scans(count: int, side: int = 28) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side), dtype=np.uint8)


def photos(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def cifar(path: Path, pictures: np.ndarray, *labels: np.ndarray) -> None:
    """Records of label bytes, then the red, green and blue planes."""
    planes = pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1)
    path.write_bytes(np.hstack([*(column.astype(np.uint8)[:, None] for column in labels), planes]).tobytes())


def idx(path: Path, values: np.ndarray) -> None:
    content = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def mnist(path: Path, pictures: np.ndarray, labels: np.ndarray) -> None:
    idx(path, pictures)
    idx(path.with_name(path.name.replace("images-idx3", "labels-idx1")), labels)


def svhn(path: Path, pictures: np.ndarray, labels: np.ndarray, *, compressed: bool = True) -> None:
    stored = {"X": pictures.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
    savemat(path, stored, do_compression=compressed)


def medmnist(path: Path, pictures: np.ndarray, labels: np.ndarray) -> None:
    np.savez_compressed(path, train_images=pictures, train_labels=labels[:, None])


def same(found: ImageSet, pictures: np.ndarray, labels: np.ndarray) -> bool:
    pictures = pictures[..., None] if pictures.ndim == 3 else pictures
    return np.array_equal(found.images, pictures) and found.labels.tolist() == labels.tolist()


def test_cifar_10_is_read_from_its_folder_and_from_one_batch(tmp_path: Path) -> None:
    for batch in range(1, 6):
        cifar(tmp_path / f"data_batch_{batch}.bin", photos(batch), np.full(batch, batch))
    cifar(tmp_path / "test_batch.bin", photos(7), np.arange(7))
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    labels = np.repeat(np.arange(1, 6), np.arange(1, 6))
    everything = np.concatenate([photos(batch) for batch in range(1, 6)])
    assert same(load(str(tmp_path), COLOUR), everything, labels)
    assert same(load(f"{tmp_path}:train", COLOUR), everything, labels)
    assert same(load(f"{tmp_path}:test", COLOUR), photos(7), np.arange(7))
    assert same(load(f"{tmp_path}/test_batch.bin", COLOUR), photos(7), np.arange(7))
    assert same(load(f"{tmp_path}:test", ONE), photos(7), np.zeros(7))
    parts = [load(f"{tmp_path}:test:{part}-{part + 1}/3", COLOUR) for part in range(3)]
    assert set().union(*(part.hashes for part in parts)) == set(load(f"{tmp_path}:test", COLOUR).hashes)
    assert [len(part) for part in parts] == [3, 2, 2]


def test_a_file_of_a_data_set_among_the_folders_of_classes_is_named(tmp_path: Path) -> None:
    """Regression: the file was read, and the pictures in the folders were left out without a word."""
    cifar(tmp_path / "test_batch.bin", photos(2), np.arange(2))
    (tmp_path / "7").mkdir()
    with pytest.raises(SourceUnreadable, match="a folder of a class"):
        load(f"{tmp_path}:test", COLOUR)
    assert len(load(str(tmp_path / "test_batch.bin"), COLOUR)) == 2


def test_cifar_100_has_fine_labels_and_coarse_ones_for_twenty_classes(tmp_path: Path) -> None:
    cifar(tmp_path / "train.bin", photos(4), np.array([0, 19, 7, 3]), np.array([99, 0, 50, 20]))
    for classes, labels in ((100, [99, 0, 50, 20]), (20, [0, 19, 7, 3])):
        images = Images(size=32, channels=3, classes=tuple(map(str, range(classes))))
        assert same(load(str(tmp_path), images), photos(4), np.array(labels))
    with pytest.raises(UnknownClass, match="99"):
        load(str(tmp_path), COLOUR)
    with pytest.raises(SourceUnreadable, match="only of train"):
        load(f"{tmp_path}:test", COLOUR)


@pytest.mark.parametrize("names", [("data_batch_1", "batches.meta"), ("train", "test", "meta")])
def test_cifars_pickles_are_refused_with_the_name_of_the_binary_version(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(pickle.dumps({b"data": b""}, protocol=2))
    for source in (tmp_path, tmp_path / names[0]):
        with pytest.raises(SourceUnreadable, match=r"cifar-10-binary\.tar\.gz"):
            load(str(source), COLOUR)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_with_the_labels_beside_them(tmp_path: Path, suffix: str) -> None:
    mnist(tmp_path / f"train-images-idx3-ubyte{suffix}", scans(12), np.arange(12) % 10)
    mnist(tmp_path / f"t10k-images-idx3-ubyte{suffix}", scans(5), np.arange(5))
    assert same(load(str(tmp_path), GREY), scans(12), np.arange(12) % 10)
    assert same(load(f"{tmp_path}:test", GREY), scans(5), np.arange(5))
    assert same(load(f"{tmp_path}/t10k-images-idx3-ubyte{suffix}", GREY), scans(5), np.arange(5))
    padded = load(str(tmp_path), Images(size=32, channels=1, classes=TEN)).images
    assert np.array_equal(padded[:, 2:-2, 2:-2, 0], scans(12)) and not padded[:, :2].any()
    (tmp_path / f"t10k-labels-idx1-ubyte{suffix}").unlink()
    with pytest.raises(SourceUnreadable, match="no labels beside it: t10k-labels-idx1-ubyte"):
        load(f"{tmp_path}:test", GREY)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
def test_svhns_digits_are_read_and_its_ten_is_a_nought(tmp_path: Path, compressed: bool, kind: type) -> None:
    svhn(tmp_path / "train_32x32.mat", photos(11), (np.arange(11) % 10).astype(kind), compressed=compressed)
    svhn(tmp_path / "test_32x32.mat", photos(1), np.array([3], kind), compressed=compressed)
    assert same(load(str(tmp_path), COLOUR), photos(11), np.arange(11) % 10)
    assert same(load(f"{tmp_path}:test", COLOUR), photos(1), np.array([3]))
    assert same(load(f"{tmp_path}/train_32x32.mat", COLOUR), photos(11), np.arange(11) % 10)


@pytest.mark.parametrize("label", [11, -1, 0.5, np.nan, np.inf])
def test_svhns_labels_are_one_to_ten(tmp_path: Path, label: float) -> None:
    svhn(tmp_path / "a.mat", photos(2), np.array([1, label]))
    with pytest.raises(SourceUnreadable, match="labels other than 1 to 10"):
        load(f"{tmp_path}/a.mat", COLOUR)


@pytest.mark.parametrize(
    "stored", [{"X": "text", "y": 1}, {"X": {"a": 1}, "y": 1}, {"X": 1j, "y": 1}, {"X": np.zeros((2, 2)), "y": 1}, {"y": 1}, {}]
)
def test_other_mat_files_are_refused(tmp_path: Path, stored: dict) -> None:
    savemat(tmp_path / "a.mat", stored)
    with pytest.raises(SourceUnreadable):
        load(f"{tmp_path}/a.mat", COLOUR)


def test_medmnist_is_read_by_split(tmp_path: Path) -> None:
    pairs = {split: (scans(count), np.arange(count) % 2) for split, count in (("train", 6), ("val", 3), ("test", 4))}
    arrays = {f"{split}_images": pictures for split, (pictures, _) in pairs.items()}
    np.savez(tmp_path / "a.npz", **arrays, **{f"{split}_labels": labels[:, None] for split, (_, labels) in pairs.items()})
    two = Images(size=28, channels=1, classes=("normal", "pneumonia"))
    for split, pair in pairs.items():
        assert same(load(f"{tmp_path}/a.npz:{split}", two), *pair)
    assert same(load(f"{tmp_path}/a.npz", two), *pairs["train"])
    assert len(load(f"{tmp_path}/a.npz:val:0-1/3", two)) == 1
    np.savez(tmp_path / "b.npz", train_images=scans(4), train_labels=np.ones((4, 14), int), x=scans(2), y=np.arange(2))
    with pytest.raises(SourceUnreadable, match="one class"):
        load(f"{tmp_path}/b.npz", two)
    assert len(load(f"{tmp_path}/b.npz", Images(size=28, channels=1, classes=("x-ray",)))) == 4
    with pytest.raises(SourceUnreadable, match="val_images"):
        load(f"{tmp_path}/b.npz:val", two)


def test_a_split_of_what_is_not_divided_is_refused(tmp_path: Path) -> None:
    cifar(tmp_path / "test_batch.bin", photos(2), np.arange(2))
    (tmp_path / "pictures" / "0").mkdir(parents=True)
    for source in (f"{tmp_path}/test_batch.bin:test", f"{tmp_path}/pictures:test", "digits:test", "digits:val:0-1/3"):
        with pytest.raises(SourceUnreadable, match="it has no"):
            load(source, COLOUR)


def test_a_folder_that_ends_like_a_suffix_is_named_with_a_slash(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=scans(1), y=np.zeros(1, int))
    folder = tmp_path / "mine:test"
    folder.mkdir()
    mnist(folder / "train-images-idx3-ubyte", scans(3), np.arange(3))
    assert len(load(f"{folder}/", GREY)) == 3
    with pytest.raises(SourceUnreadable, match="There are no pictures"):
        load(str(folder), GREY)


def test_arrays_state_numbers_and_folders_state_names(tmp_path: Path) -> None:
    mnist(tmp_path / "train-images-idx3-ubyte", scans(3), np.arange(3))
    (tmp_path / "folder" / "cat").mkdir(parents=True)
    for source in (str(tmp_path), f"{tmp_path}:train:0-1/2", f"{tmp_path}/train-images-idx3-ubyte"):
        assert classes_in(source) == ("picture",) and has_numbered_classes(source)
    assert classes_in(f"{tmp_path}/folder") == ("cat",) and not has_numbered_classes(f"{tmp_path}/folder")
    assert not has_numbered_classes("digits:0-1/3")


FILES: dict[str, tuple[Write, bool]] = {
    "data_batch_1.bin": (cifar, True),
    "train-images-idx3-ubyte": (mnist, False),
    "train-images-idx3-ubyte.gz": (mnist, False),
    "train_32x32.mat": (svhn, True),
    "a.npz": (medmnist, False),
}


def sound(folder: Path, name: str) -> tuple[Path, Images]:
    write, colour = FILES[name]
    write(folder / name, photos(3) if colour else scans(3, 4), np.arange(3))
    return folder / name, COLOUR if colour else Images(size=8, channels=1, classes=TEN)


def refused_or_read(path: Path, images: Images) -> None:
    try:
        found = load(str(path), images)
    except (SourceUnreadable, NoPictures, UnknownClass) as fault:
        assert "\n" not in fault.cause and fault.remedy
    else:
        assert found.images.shape == (len(found), images.size, images.size, images.channels)
        assert 0 <= found.labels.min() <= found.labels.max() < len(images.classes)


@pytest.mark.parametrize("name", FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_whatever_bytes_a_file_holds_only_named_errors_come_out(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path, images = sound(tmp_path, name)
    whole = path.read_bytes()
    how = data.draw(st.sampled_from(["cut", "flip", "flip the head", "random"]))
    if how == "cut":
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif how == "random":
        content = whole[: data.draw(st.sampled_from([0, 4, 128]))] + data.draw(st.binary(max_size=400))
    else:
        damaged = bytearray(whole)
        end = len(whole) if how == "flip" else min(len(whole), 260)
        for place in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=4)):
            damaged[place] ^= data.draw(st.integers(1, 255))
        content = bytes(damaged)
    path.write_bytes(content)
    refused_or_read(path, images)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    body=st.lists(
        st.tuples(
            st.sampled_from([1, 2, 5, 6, 9, 14, 15, 0x00010001, 0xFFFF0002]) | st.integers(0, 2**32 - 1),
            st.integers(0, 12) | st.integers(0, 2**32 - 1),
            st.binary(max_size=16),
        ),
        max_size=6,
    ),
    compressed=st.booleans(),
)
def test_whatever_stands_in_a_variable_of_mat_only_named_errors_come_out(
    tmp_path: Path, body: list[tuple[int, int, bytes]], compressed: bool
) -> None:
    """SciPy's reader indexed a table with the type of an element (scipy/scipy pull request 25829)."""
    content = b"".join(struct.pack("<II", kind, length) + values for kind, length, values in body)
    element = struct.pack("<II", 14, len(content)) + content
    if compressed:
        packed = zlib.compress(element)
        element = struct.pack("<II", 15, len(packed)) + packed
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\x00\x01IM" + element)
    refused_or_read(tmp_path / "a.mat", COLOUR)


@pytest.mark.parametrize("name", FILES)
def test_large_files_pipes_and_folders_in_a_files_place_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path, images = sound(tmp_path, name)
    with monkeypatch.context() as patch:
        patch.setattr(formats, "MAX_ARRAY_BYTES", 40)
        with pytest.raises(SourceUnreadable, match="40"):
            load(str(path), images)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceUnreadable, match="no regular file"):
        load(str(path), images)
    path.unlink()
    path.mkdir()
    with pytest.raises(PDFedError):
        load(str(path), images)


def test_what_unpacks_to_more_than_stated_is_not_unpacked(tmp_path: Path) -> None:
    """A bomb: the files of a few kilobytes would unpack to 64 MB."""
    zeros = bytes(64_000_000)
    images, labels = tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "train-labels-idx1-ubyte"
    images.write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 1, 28, 28) + zeros))
    idx(labels, np.zeros(1))
    with pytest.raises(SourceUnreadable, match="784 bytes that it states"):
        load(str(images), GREY)
    packed = zlib.compress(struct.pack("<II", 14, 8) + zeros)
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(SourceUnreadable, match="longer or shorter than its tag states"):
        load(f"{tmp_path}/a.mat", COLOUR)


def test_pictures_that_grow_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 1×1 pixels, enlarged to the task's size, filled the memory."""
    monkeypatch.setattr("pdfed.data.loading.MAX_ARRAY_BYTES", 28 * 28 * 10)
    np.savez(tmp_path / "a.npz", x=np.zeros((11, 1, 1), np.uint8), y=np.zeros(11, int))
    with pytest.raises(SourceUnreadable, match="at the task's size"):
        load(f"{tmp_path}/a.npz", GREY)


def test_an_unknown_file_is_refused_with_the_kinds_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(SourceUnreadable, match=r"no known kind.*idx3-ubyte"):
        load(f"{tmp_path}/cifar-10-binary.tar.gz", COLOUR)
    stream = io.BytesIO()
    savemat(stream, {"X": np.zeros((1, 1)), "y": 1}, format="4")
    (tmp_path / "old.mat").write_bytes(stream.getvalue())
    with pytest.raises(SourceUnreadable, match="level 5"):
        load(f"{tmp_path}/old.mat", COLOUR)

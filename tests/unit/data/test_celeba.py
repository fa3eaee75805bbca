# SPDX-License-Identifier: Apache-2.0
"""CelebA's folder: labels from one attribute, splits from its list, and named errors for damaged lists."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pdfed.data import NoPictures, SourceUnreadable, UnknownClass, classes_in, load
from pdfed.data.celeba import ATTRIBUTES, PARTITION
from pdfed.spec import Images

ONE = Images(size=16, channels=3, classes=("face",))
SMILE = Images(size=16, channels=3, classes=("no smile", "Smiling"))
NAMES = [f"{index:06}.jpg" for index in range(1, 7)]
LIST = "6\nMale Smiling Young\n" + "".join(
    f"{name} {-1 if index % 2 else 1:2d} {1 if index < 4 else -1:2d} -1\n" for index, name in enumerate(NAMES)
)
SPLITS = "".join(f"{name} {split}\n" for name, split in zip(NAMES, (0, 0, 0, 1, 2, 2), strict=True))


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    """Six pictures, each grey by its number, and the list of attributes: 1 to 4 smile."""
    folder = tmp_path / "celeba"
    pictures = folder / "img_align_celeba"
    pictures.mkdir(parents=True)
    for index, name in enumerate(NAMES):
        Image.new("RGB", (178, 218), (40 * index,) * 3).save(pictures / name)
    (folder / ATTRIBUTES).write_text(LIST)
    return folder


def greys(source: str, images: Images) -> list[int]:
    return [round(int(picture[8, 8, 0]) / 40) for picture in load(source, images).images]


def test_two_classes_are_an_attribute_and_its_absence(celeba: Path) -> None:
    for source in (str(celeba), f"{celeba}/img_align_celeba"):
        assert load(source, SMILE).labels.tolist() == [1, 1, 1, 1, 0, 0]
    turned = SMILE.model_copy(update={"classes": ("Male", "other")})
    assert load(str(celeba), turned).labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert greys(str(celeba), SMILE) == list(range(6))
    (celeba / ATTRIBUTES).unlink()
    (celeba.parent / ATTRIBUTES).write_text(LIST)
    assert len(load(f"{celeba}:0-1/2", SMILE)) == 3


def test_one_class_takes_all_pictures_without_a_list(celeba: Path) -> None:
    (celeba / ATTRIBUTES).unlink()
    assert load(str(celeba), ONE).labels.tolist() == [0] * 6
    assert classes_in(str(celeba)) == ("picture",)
    with pytest.raises(SourceUnreadable, match=f"{ATTRIBUTES} is missing"):
        load(str(celeba), SMILE)


def test_splits_are_those_of_the_list(celeba: Path) -> None:
    with pytest.raises(SourceUnreadable, match=f"{PARTITION} is missing"):
        load(f"{celeba}:test", ONE)
    (celeba / PARTITION).write_text(SPLITS)
    assert greys(str(celeba), ONE) == greys(f"{celeba}:train", SMILE) == [0, 1, 2]
    assert greys(f"{celeba}:val", SMILE) == [3]
    assert greys(f"{celeba}:test", SMILE) == [4, 5]


def test_pictures_that_the_list_lacks_are_skipped(celeba: Path) -> None:
    Image.new("RGB", (178, 218)).save(celeba / "img_align_celeba" / "000007.jpg")
    (celeba / "img_align_celeba" / NAMES[0]).write_bytes(b"no picture")
    found = load(str(celeba), SMILE)
    assert len(found) == 5
    reasons = {file.path: file.reason for file in found.skipped}
    assert reasons == {"000007.jpg": f"not in {ATTRIBUTES}", NAMES[0]: "not a picture"}
    (celeba / ATTRIBUTES).write_text("0\nMale Smiling Young\n")
    with pytest.raises(NoPictures):
        load(str(celeba), SMILE)


@pytest.mark.parametrize("classes", [("a", "b"), ("Male", "Young"), ("Male", "Smiling", "Young")])
def test_other_classes_are_refused_with_the_names_of_the_attributes(celeba: Path, classes: tuple[str, ...]) -> None:
    with pytest.raises(UnknownClass, match="Male, Smiling, Young"):
        load(str(celeba), SMILE.model_copy(update={"classes": classes}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    name=st.sampled_from([ATTRIBUTES, PARTITION]),
    start=st.integers(0, len(LIST)),
    length=st.integers(0, 40),
    put=st.binary(max_size=20) | st.text("01-2 \n.jpgMale", max_size=20).map(str.encode),
)
def test_whatever_a_list_holds_only_named_errors_come_out(celeba: Path, name: str, start: int, length: int, put: bytes) -> None:
    (celeba / ATTRIBUTES).write_text(LIST)
    (celeba / PARTITION).write_text(SPLITS)
    whole = (celeba / name).read_bytes()
    (celeba / name).write_bytes(whole[:start] + put + whole[start + length :])
    try:
        found = load(str(celeba), SMILE)
    except (SourceUnreadable, NoPictures, UnknownClass) as fault:
        assert "\n" not in fault.cause and fault.remedy
    else:
        assert 0 < len(found) <= 6 and set(found.labels.tolist()) <= {0, 1}

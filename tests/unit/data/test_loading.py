# SPDX-License-Identifier: Apache-2.0
"""Loading pictures: every usable kind is read, every other file is skipped with a reason, a wrong source is refused by name."""

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pdfed.data import NoPictures, SourceUnreadable, UnknownClass, classes_in, load, picture_files
from pdfed.data.picture_files import read_picture
from pdfed.errors import PDFedError
from pdfed.spec import Images

GREY = Images(size=16, channels=1, classes=tuple("0123456789"))
COLOUR = Images(size=32, channels=3, classes=("cat", "dog"))
ONE = Images(size=16, channels=3, classes=("picture",))


def painted(width: int, height: int) -> Image.Image:
    """Red left half, blue right half."""
    array = np.zeros((height, width, 3), np.uint8)
    array[:, : width // 2, 0] = 255
    array[:, width // 2 :, 2] = 255
    return Image.fromarray(array)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IDAT"


def test_digits_keep_all_scans_and_classes() -> None:
    digits = load("digits", GREY)
    assert digits.images.shape == (1797, 16, 16, 1)
    assert digits.images.dtype == np.uint8 and digits.labels.dtype == np.int64
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert digits.classes == GREY.classes


def test_parts_of_digits_are_disjoint_equal_and_complete() -> None:
    parts = [load(f"digits:{k}-{k + 1}/3", GREY) for k in range(3)]
    assert [len(part) for part in parts] == [599, 599, 599]
    assert len(set().union(*(part.hashes for part in parts))) == 1797
    for part in parts:
        assert np.bincount(part.labels).min() >= 57
    assert load("digits:1-3/3", GREY).hashes != parts[1].hashes
    assert set(load("digits:1-3/3", GREY).hashes) == set(parts[1].hashes) | set(parts[2].hashes)


@pytest.mark.parametrize("part", ["1-1/3", "2-1/3", "0-4/3", "0-1/0"])
def test_a_part_that_does_not_exist_is_named(part: str) -> None:
    with pytest.raises(SourceUnreadable, match="names no part"):
        load(f"digits:{part}", GREY)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "YCbCr", "HSV", "I;16"])
def test_every_mode_becomes_colour_at_the_tasks_size(tmp_path: Path, mode: str) -> None:
    (tmp_path / "cat").mkdir()
    picture = painted(90, 50)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode in ("HSV", "LAB"):
        picture = picture.convert(mode).convert("RGB")
    else:
        picture = picture.convert(mode)
    suffix = ".jpg" if mode in ("CMYK", "YCbCr") else ".png"
    picture.save(tmp_path / "cat" / f"a{suffix}")
    found = load(str(tmp_path), COLOUR)
    assert found.images.shape == (1, 32, 32, 3)
    assert not found.skipped
    left, right = found.images[0, 16, 2].astype(int), found.images[0, 16, -3].astype(int)
    assert abs(left - right).max() > 30 or mode == "1"


def test_sixteen_bit_greys_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 32768, np.uint16)).save(tmp_path / "a.png")
    assert abs(load(str(tmp_path), ONE).images.astype(int) - 128).max() <= 1


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "a.png")
    Image.new("P", (20, 20), 0).save(tmp_path / "b.gif", transparency=0)
    assert load(str(tmp_path), ONE).images.min() == 255


def test_a_picture_is_turned_upright_and_cropped_to_its_centre(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise
    painted(100, 100).save(tmp_path / "turned.png", exif=exif)
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    turned, cropped = load(str(tmp_path), ONE).images
    assert turned[2, 8, 0] > 200 and turned[-3, 8, 2] > 200  # left became top
    assert abs(cropped.astype(int) - 200).max() <= 12


def test_mixed_sizes_and_formats_land_in_their_classes(tmp_path: Path) -> None:
    for name, formats in (("cat", ("jpg", "png", "webp")), ("dog", ("bmp", "gif", "tiff"))):
        (tmp_path / name / "deeper").mkdir(parents=True)
        for index, suffix in enumerate(formats):
            painted(9 + 300 * index, 700 - 300 * index).save(tmp_path / name / "deeper" / f"a.{suffix}")
    found = load(str(tmp_path), COLOUR)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.classes == ("cat", "dog")
    assert not found.skipped


def test_what_can_not_be_used_is_skipped_counted_and_listed(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    painted(30, 30).save(good)
    whole = good.read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    (tmp_path / "large.png").write_bytes(png_header(13_000, 13_000))
    (tmp_path / "less-large.png").write_bytes(png_header(8_100, 8_100))
    Image.fromarray(np.ones((9, 9), np.float32)).save(tmp_path / "float.tiff")
    (tmp_path / "page.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (tmp_path / "bad\udcff\n.png").touch()
    (tmp_path / ".hidden.png").write_bytes(b"hidden")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "absent")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    found = load(str(tmp_path), ONE)
    assert len(found) == 1
    reasons = {file.path: file.reason for file in found.skipped}
    assert set(reasons) == {
        "half.png", "empty.jpg", "notes.txt", "bomb.png", "large.png", "less-large.png", "float.tiff", "page.eps", "bad??.png",
        "pipe.png", "nowhere.png", "loop.png",
    }  # fmt: skip
    assert "pixels" in reasons["bomb.png"] and "110,000,000" in reasons["large.png"]
    assert "64,000,000" in reasons["less-large.png"]
    assert reasons["notes.txt"] == reasons["page.eps"] == "not a picture"


def random_picture(mode: str) -> tuple[Image.Image, dict[str, object]]:
    """A picture of random pixels, and the options to save it with. mode: Pillow's; "+": with one transparent colour; "PA": with
    a palette of transparent colours; "I low": 32 bits, values up to 255."""
    values = np.random.default_rng(0).integers(0, 256, (97, 61, 4), dtype=np.uint8)
    if mode in ("I;16", "I;16B"):
        high = values.view(np.uint16)[..., 0]
        return Image.fromarray(high.astype(">u2") if mode == "I;16B" else high), {}
    if mode in ("I", "I low"):
        return Image.fromarray(values[..., 0].astype(np.int32) * (1 if mode == "I low" else 257)), {}
    picture = Image.fromarray(values)
    if "A" not in mode:
        picture = picture.convert("RGB")
    picture = picture.convert("P" if mode == "PA" else mode.rstrip("+"))
    first = {"RGB": picture.getpixel((0, 0)), "L": 100, "P": 7}
    return picture, {"transparency": first[mode.rstrip("+")]} if mode.endswith("+") else {}


MODES = ["1", "L", "L+", "LA", "P", "P+", "PA", "RGB", "RGB+", "RGBA", "CMYK", "I;16", "I;16B", "I", "I low"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("turned", [1, 2, 6])
@pytest.mark.parametrize("images", [GREY, COLOUR])
def test_a_picture_converted_in_pieces_is_the_very_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, turned: int, images: Images
) -> None:
    """A node commits to its data set by pixels: they must not depend on the pieces in which a large picture is read."""
    picture, options = random_picture(mode)
    exif = Image.Exif()
    exif[0x0112] = turned
    path = tmp_path / ("a.tiff" if mode in ("CMYK", "I;16B", "I", "I low") else "a.png")
    picture.save(path, exif=exif, **options)
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
    if mode.startswith("I"):
        scale = 1.0 if mode == "I low" else 257.0
        upright = Image.fromarray(np.round(np.asarray(upright) / scale).astype(np.uint8))
    white = Image.new("RGBA", upright.size, "white")
    transparent = "A" in upright.mode or "transparency" in upright.info
    flat = Image.alpha_composite(white, upright.convert("RGBA")) if transparent else upright
    flat = flat.convert("L" if images.channels == 1 else "RGB")
    side = min(flat.size)
    box = ((flat.width - side) / 2, (flat.height - side) / 2, (flat.width + side) / 2, (flat.height + side) / 2)
    wanted = np.asarray(flat.resize((images.size, images.size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))
    for strip in (1 << 20, 500, 7):
        monkeypatch.setattr(picture_files, "STRIP", strip)
        assert np.array_equal(read_picture(str(path), images), wanted.reshape(images.size, images.size, images.channels))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux's /proc")
def test_a_large_transparent_picture_takes_little_more_memory_than_its_pixels(tmp_path: Path) -> None:
    """Conversion held five copies: 2.9 GB for a file of 578 KB, which a stranger may send."""
    Image.new("RGBA", (4_000, 4_000)).save(tmp_path / "a.png", compress_level=1)
    look = f"""
import re
from pathlib import Path
from pdfed.data.picture_files import read_picture
from pdfed.spec import Images
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
read_picture({str(tmp_path / "a.png")!r}, Images(size=8, channels=3, classes=("a",)))
print((peak() - before) * 1024 // 4_000**2)
"""
    bytes_a_pixel = int(subprocess.run([sys.executable, "-c", look], check=True, capture_output=True).stdout)
    assert bytes_a_pixel <= 12


def test_corrupted_anywhere_a_picture_never_stops_the_folder(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    painted(40, 40).save(tmp_path / "0-good.png")
    for suffix in ("jpg", "png", "webp", "gif", "bmp", "tiff"):
        painted(40, 40).save(tmp_path / f"whole.{suffix}")
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        for index in range(25):
            broken = bytearray(whole)
            for place in random.integers(0, min(len(whole), 400), 6):
                broken[place] = random.integers(0, 256)
            (tmp_path / f"broken-{index}.{suffix}").write_bytes(broken)
    found = load(str(tmp_path), ONE)
    assert len(found) + len(found.skipped) == 1 + 6 * 26
    assert len(found) >= 7


def test_a_loop_of_folders_ends(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    painted(20, 20).save(tmp_path / "a" / "b" / "one.png")
    assert len(load(str(tmp_path), ONE)) == 1


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        Image.new("L", (16, 16), ord(name)).save(tmp_path / f"{name}.png")
    assert [int(image[0, 0, 0]) for image in load(str(tmp_path), ONE).images] == [ord(name) for name in "abc"]


def test_an_empty_folder_and_one_of_corrupt_pictures_have_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(NoPictures, match="0 skipped"):
        load(str(tmp_path), ONE)
    for digit in range(10):
        (tmp_path / str(digit)).mkdir()
        (tmp_path / str(digit) / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(NoPictures, match="10 skipped"):
        load(str(tmp_path), GREY)


def test_pictures_outside_class_folders_are_skipped_and_an_unknown_class_is_named(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    painted(20, 20).save(tmp_path / "cat" / "a.png")
    painted(20, 20).save(tmp_path / "stray.png")
    found = load(str(tmp_path), COLOUR)
    assert [file.path for file in found.skipped] == ["stray.png"]
    (tmp_path / "Hund").mkdir()
    with pytest.raises(UnknownClass, match="Hund"):
        load(str(tmp_path), COLOUR)


def test_a_missing_path_a_file_and_strange_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    for source in (str(tmp_path / "absent"), str(tmp_path / "a.jpg"), "", "nul\0byte", "x" * 5000, str(tmp_path / "no.npz")):
        with pytest.raises(SourceUnreadable):
            load(source or str(tmp_path / "a.jpg"), ONE)


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceUnreadable, match="Permission denied"):
        load(str(tmp_path), ONE)


def test_classes_are_the_sub_folders(tmp_path: Path) -> None:
    assert classes_in(str(tmp_path)) == ("picture",)
    for name in ("b", "a", ".git"):
        (tmp_path / name).mkdir()
    assert classes_in(str(tmp_path)) == ("a", "b")
    assert classes_in("digits:0-1/3") == tuple("0123456789")
    with pytest.raises(SourceUnreadable):
        classes_in(str(tmp_path / "absent"))


def test_arrays_are_padded_resampled_or_taken_as_they_are(tmp_path: Path) -> None:
    labels = np.array([0, 1])
    for height, channels in ((28, 3), (32, 3), (64, 3), (8, 1)):
        np.savez(tmp_path / "a.npz", x=np.full((2, height, height, channels), 200, np.uint8), y=labels)
        found = load(str(tmp_path / "a.npz"), COLOUR)
        assert found.images.shape == (2, 32, 32, 3)
        assert found.images[0, 16, 16, 0] == 200
        assert found.images[0, 0, 0, 0] == (0 if height == 28 else 200)
    np.savez(tmp_path / "b.npz", train_x=np.zeros((4, 16, 16), np.uint8), train_y=np.arange(4, dtype=np.uint8), test_x=labels)
    assert len(load(f"{tmp_path}/b.npz:0-1/2", GREY)) == 2


def test_wrong_arrays_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    pictures, labels = np.zeros((3, 16, 16), np.uint8), np.arange(3)
    wrong: list[tuple[dict[str, np.ndarray], type[Exception]]] = [
        ({"x": pictures.astype(np.float32), "y": labels}, SourceUnreadable),
        ({"x": pictures, "y": labels[:2]}, SourceUnreadable),
        ({"x": pictures, "y": labels.astype(float)}, SourceUnreadable),
        ({"x": np.zeros((3, 16, 16, 7), np.uint8), "y": labels}, SourceUnreadable),
        ({"x": np.array([{}] * 3), "y": labels}, SourceUnreadable),
        ({"pictures": pictures}, SourceUnreadable),
        ({"x": pictures[:0], "y": labels[:0]}, NoPictures),
        ({"x": pictures, "y": labels + 8}, UnknownClass),
        ({"x": pictures, "y": labels - 1}, UnknownClass),
    ]
    for arrays, error in wrong:
        np.savez(path, **arrays)  # type: ignore[arg-type]
        with pytest.raises(error):
            load(str(path), GREY)
    whole = path.read_bytes()
    for content in (b"", whole[:60], b"PK\x03\x04" + b"\0" * 60):
        path.write_bytes(content)
        with pytest.raises(SourceUnreadable):
            load(str(path), GREY)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_damaged_npz_is_refused_by_name(tmp_path: Path, write: Callable[..., None]) -> None:
    """zlib.error and tokenize.TokenError escaped."""
    path, random = tmp_path / "a.npz", np.random.default_rng(0)
    write(path, x=random.integers(0, 256, (200, 8, 8), dtype=np.uint8), y=np.arange(200) % 10)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for turn in range(300):
        content = whole.copy()
        end = len(content) if turn % 2 else 250  # half of the damage goes into the first header
        content[random.integers(0, end, random.integers(1, 4))] ^= random.integers(1, 256, dtype=np.uint8)
        path.write_bytes(content.tobytes())
        try:
            load(str(path), GREY)
        except PDFedError as fault:
            refused += 1
            assert "\n" not in fault.cause
    assert refused > 100


@pytest.mark.parametrize("source", ["", " "])
def test_an_empty_source_is_not_the_current_directory(source: str) -> None:
    """Regression: `--data "$UNSET"` would have taken the current directory for the private pictures."""
    for read in (lambda: load(source, GREY), lambda: classes_in(source)):
        with pytest.raises(SourceUnreadable, match="No source of pictures is named"):
            read()

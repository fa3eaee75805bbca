# SPDX-License-Identifier: Apache-2.0
"""Read picture files (JPEG, PNG, WebP, …; up to 64 million pixels) as arrays at the task's size.

A file that can't be used, whatever is wrong with it, is skipped with a reason.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pdfed.data.data_errors import SourceUnreadable
from pdfed.data.images import Pictures, SkippedFile
from pdfed.spec import Images

# Decoders that run no outside program (EPS would start Ghostscript). Some builds of Pillow lack AVIF.
Image.init()
FORMATS = tuple(sorted({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"} & set(Image.OPEN)))
MAX_PIXELS = 110_000_000  # of a JPEG, decoded at a reduced size; a progressive one still takes 8 bytes a pixel: 0.9 GB
MAX_DECODED = 64_000_000  # pixels decoded; decoding and converting takes up to 17 bytes a pixel (WebP; PNG 8): 1.1 GB
STRIP = 1 << 20  # pixels converted at once: each step copies
MAX_DEPTH = 32  # nested folders


class NotUsable(Exception):
    """A file to skip; the message is the reason."""


def fit_picture(image: Image.Image, images: Images) -> Pictures:
    """Bring a picture of any size and mode to uint8 [S,S,C]: upright, on white, centre-cropped, Lanczos-resampled."""
    ImageOps.exif_transpose(image, in_place=True)
    flat = _flat(image, "L" if images.channels == 1 else "RGB")
    side = min(flat.size)
    left, top = (flat.width - side) / 2, (flat.height - side) / 2
    box = (left, top, left + side, top + side)
    small = flat.resize((images.size, images.size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return np.asarray(small, dtype=np.uint8).reshape(images.size, images.size, images.channels)


def read_picture(path: str, images: Images) -> Pictures:
    """Read one file as uint8 [S,S,C]. Raises NotUsable with the reason."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a pipe would block for ever
            raise NotUsable("not a regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; the limits below decide
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise NotUsable(f"{image.width}×{image.height} pixels, over {MAX_PIXELS:,}")
                image.draft(None, (2 * images.size, 2 * images.size))  # lets JPEG decode at a reduced size
                if image.width * image.height > MAX_DECODED:
                    raise NotUsable(f"{image.width}×{image.height} pixels, over {MAX_DECODED:,}")
                return fit_picture(image, images)
    except NotUsable:
        raise
    except UnidentifiedImageError as fault:
        raise NotUsable("not a picture") from fault
    except Image.DecompressionBombError as fault:
        raise NotUsable(f"more than {MAX_PIXELS:,} pixels") from fault
    except OSError as fault:
        raise NotUsable(fault.strerror or f"corrupt: {fault}") from fault
    except Exception as fault:  # a broken file can make a decoder raise anything; loading the folder goes on
        raise NotUsable(f"corrupt: {type(fault).__name__}: {fault}"[:200]) from fault


def files_below(folder: Path, skipped: list[SkippedFile], root: Path | None = None) -> Iterator[Path]:
    """Walk all files below `folder` in a fixed order. Follows links, enters no folder twice, leaves hidden names out.

    A folder that can't be listed is added to `skipped`, its path relative to `root` (default: `folder`).
    """
    root = root or folder
    visited: set[tuple[int, int]] = set()
    queue = [folder]
    while queue:
        current = queue.pop()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in visited or len(current.relative_to(folder).parts) > MAX_DEPTH:
                continue
            visited.add((status.st_dev, status.st_ino))
            entries = _entries(current)
        except OSError as fault:
            skipped.append(SkippedFile(printable_path(current, root), fault.strerror or "can't be listed"))
            continue
        yield from (entry for entry in entries if not is_folder(entry))
        queue.extend(entry for entry in reversed(entries) if is_folder(entry))


def is_folder(path: Path) -> bool:
    """True if `path` is a folder or a link to one, and can be examined."""
    try:
        return path.is_dir()
    except OSError:
        return False


def list_folder(folder: Path) -> list[Path]:
    """List a source folder's entries, sorted, without hidden names. Raises SourceUnreadable."""
    try:
        return _entries(folder)
    except OSError as fault:
        raise SourceUnreadable(f"{folder} can't be read: {fault.strerror}.", "Name a folder that you may read.") from fault


def printable_path(path: Path, root: Path) -> str:
    """Return `path` relative to `root`, with "?" for each character that can't be printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path.relative_to(root)) or ".")


def _entries(folder: Path) -> list[Path]:
    """List a folder's entries, sorted, without hidden names. Raises OSError."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Convert a picture to `mode`: transparency on white, deeper greys scaled to 8 bits. The result does not depend on STRIP."""
    if image.mode == "F":
        raise NotUsable("a floating-point picture: its range is unknown")
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode == mode and "transparency" not in image.info:
        return image
    flat, rows = Image.new(mode, image.size), max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        flat.paste(_on_white(strip).convert(mode), (0, top))
    return flat


def _on_white(image: Image.Image) -> Image.Image:
    """Composite a transparent picture on white; return an opaque one unchanged."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        foreground = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", foreground.size, "white"), foreground)
    return image


def _eight_bits(values: NDArray[np.integer]) -> Pictures:
    """Scale 16-bit greys (0..65535) to uint8; a 32-bit picture that holds only 0..255 keeps its values."""
    if values.min() < 0 or values.max() > 65535:
        raise NotUsable("greys outside 0..65535")
    if values.itemsize > 2 and values.max() <= 255:
        return values.astype(np.uint8)
    pieces = np.array_split(values, 1 + values.size // STRIP)
    return np.concatenate([np.round(piece / 257.0).astype(np.uint8) for piece in pieces])

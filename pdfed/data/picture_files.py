# SPDX-License-Identifier: Apache-2.0
"""Picture files → arrays at the task's size. A file that can't be used is skipped with a reason, whatever is wrong with it."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pdfed.data.data_errors import SourceUnreadable
from pdfed.data.images import Pictures, Skipped
from pdfed.spec import Images

# Decoders that need no outside program (EPS would start Ghostscript); AVIF is missing in some builds of Pillow.
Image.init()
FORMATS = tuple(
    sorted({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"} & set(Image.OPEN))
)  # AVIF is missing in some builds
MAX_PIXELS = 110_000_000  # a JPEG is decoded at a reduced size; a progressive one still takes 8 bytes for each pixel: 0.9 GB
MAX_DECODED = 64_000_000  # at full size; decoding and converting takes up to 17 bytes a pixel (WebP; PNG 8): 1.1 GB
STRIP = 1 << 20  # pixels; larger pictures are converted piece by piece, as each step copies
MAX_DEPTH = 32  # of folders in folders


class NotUsable(Exception):
    """Why one file is skipped."""


def fitted(image: Image.Image, images: Images) -> Pictures:
    """A decoded picture of any size and mode → uint8 [S,S,C]: upright, on white, centre-cropped, Lanczos-resampled."""
    ImageOps.exif_transpose(image, in_place=True)
    flat = _flat(image, "L" if images.channels == 1 else "RGB")
    side = min(flat.size)
    left, top = (flat.width - side) / 2, (flat.height - side) / 2
    box = (left, top, left + side, top + side)
    small = flat.resize((images.size, images.size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    return np.asarray(small, dtype=np.uint8).reshape(images.size, images.size, images.channels)


def read_picture(path: str, images: Images) -> Pictures:
    """One file → uint8 [S,S,C]. Raises NotUsable with the reason."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a pipe would wait for ever
            raise NotUsable("not a regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; the limit below decides
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise NotUsable(f"{image.width}×{image.height} pixels, over {MAX_PIXELS:,}")
                image.draft(None, (2 * images.size, 2 * images.size))  # lets JPEG decode at a reduced size
                if image.width * image.height > MAX_DECODED:
                    raise NotUsable(f"{image.width}×{image.height} pixels, over {MAX_DECODED:,}")
                return fitted(image, images)
    except NotUsable:
        raise
    except UnidentifiedImageError as fault:
        raise NotUsable("not a picture") from fault
    except Image.DecompressionBombError as fault:
        raise NotUsable(f"more than {MAX_PIXELS:,} pixels") from fault
    except OSError as fault:
        raise NotUsable(fault.strerror or f"corrupt: {fault}") from fault
    except Exception as fault:  # decoders raise whatever a broken file leads them to; the folder goes on without it
        raise NotUsable(f"corrupt: {type(fault).__name__}: {fault}"[:200]) from fault


def files_below(folder: Path, skipped: list[Skipped], root: Path | None = None) -> Iterator[Path]:
    """All files below `folder` in a fixed order. Follows links, but enters no folder twice; hidden names are passed over.

    What can't be listed is added to `skipped`, named from `root` (default: `folder`).
    """
    root = root or folder
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in entered or len(here.relative_to(folder).parts) > MAX_DEPTH:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = visible(here)
        except OSError as fault:
            skipped.append(Skipped(shown(here, root), fault.strerror or "can't be listed"))
            continue
        yield from (entry for entry in entries if not is_folder(entry))
        waiting.extend(entry for entry in reversed(entries) if is_folder(entry))


def visible(folder: Path) -> list[Path]:
    """What is in a folder, hidden names left out, sorted. Raises OSError."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def is_folder(path: Path) -> bool:
    """Whether this is a folder or a link to one; False where that can't be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False


def listing(folder: Path) -> list[Path]:
    """As `visible`, for the folder that a person named. Raises SourceUnreadable."""
    try:
        return visible(folder)
    except OSError as fault:
        raise SourceUnreadable(f"{folder} can't be read: {fault.strerror}.", "Name a folder that you may read.") from fault


def shown(path: Path, root: Path) -> str:
    """A path below `root` that is safe to print, whatever bytes its name has."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path.relative_to(root)) or ".")


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """A picture in this mode: transparency laid on white, greys of more bits brought to 8. The same whatever STRIP is."""
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
    """Transparency laid on white; what has none as it is."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return image


def _eight_bits(values: NDArray[np.integer]) -> Pictures:
    """Integer greys of 16 bits (0..65535) → uint8; a 32-bit picture that holds only 0..255 is taken as it is."""
    if values.min() < 0 or values.max() > 65535:
        raise NotUsable("greys outside 0..65535")
    if values.itemsize > 2 and values.max() <= 255:
        return values.astype(np.uint8)
    pieces = np.array_split(values, 1 + values.size // STRIP)
    return np.concatenate([np.round(piece / 257.0).astype(np.uint8) for piece in pieces])

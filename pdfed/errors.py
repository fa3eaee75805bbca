# SPDX-License-Identifier: Apache-2.0
"""The root of every error that a person can meet. Each room names its own below it."""

from __future__ import annotations


class PDFedError(Exception):
    """What went wrong in one line (`cause`), and what to do next (`remedy`). Shown without a traceback.

    Both may quote what strangers wrote, so both are made `visible`.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        self.cause, self.remedy = visible(cause), visible(remedy)
        super().__init__(f"{self.cause} {self.remedy}")


def visible(text: str) -> str:
    """`text` as one line that can't steer a terminal: control characters, line ends, characters that turn the direction of
    writing and all others that have no picture stand as their escapes, such as \\x1b."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

# SPDX-License-Identifier: Apache-2.0
"""Base class of every error that a user can meet. Each package derives its own."""

from __future__ import annotations


class PDFedError(Exception):
    """An error shown without a traceback: `cause` in one line, and `remedy`, the next thing to do.

    Both may quote text of strangers, so `visible` escapes both.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        self.cause, self.remedy = visible(cause), visible(remedy)
        super().__init__(f"{self.cause} {self.remedy}")


def visible(text: str) -> str:
    """Escape `text` to one line that can't steer a terminal: control characters, line ends, bidirectional control characters
    and all others that don't print become escapes such as \\x1b."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

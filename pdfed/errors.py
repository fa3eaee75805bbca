# SPDX-License-Identifier: Apache-2.0
"""The root of every error that a person can meet. Each room names its own below it."""

from __future__ import annotations


class PDFedError(Exception):
    """What went wrong in one line (`cause`), and what to do next (`remedy`). Shown without a traceback."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause} {remedy}")
        self.cause = cause
        self.remedy = remedy

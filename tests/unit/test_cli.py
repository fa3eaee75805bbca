# SPDX-License-Identifier: Apache-2.0
"""Every command ends in words a person can use."""

from __future__ import annotations

import errno

import click
import pytest
from click.testing import CliRunner

from pdfed.cli import FriendlyCommand
from pdfed.errors import PDFedError


class NoSuchThing(PDFedError):
    """For the test."""


def command(fault: BaseException) -> click.Command:
    @click.command(cls=FriendlyCommand)
    def run() -> None:
        raise fault

    return run


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (NoSuchThing("It is gone.", "Look elsewhere."), 1, ["NoSuchThing", "It is gone.", "→ Look elsewhere."]),
        (KeyboardInterrupt(), 130, ["nothing is lost"]),
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), 1, ["No space left", "/some/file", "→"]),
    ],
)
def test_an_error_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: int, words: list[str]
) -> None:
    monkeypatch.delenv("PDFED_DEBUG", raising=False)
    result = CliRunner().invoke(command(fault), [])
    assert result.exit_code == code
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output


def test_a_developer_sees_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDFED_DEBUG", "1")
    result = CliRunner().invoke(command(NoSuchThing("It is gone.", "Look elsewhere.")), [])
    assert isinstance(result.exception, NoSuchThing)

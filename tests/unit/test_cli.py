# SPDX-License-Identifier: Apache-2.0
"""Every command ends in words a person can use."""

from __future__ import annotations

import errno

import click
import pytest
from click.testing import CliRunner

from pdfed.cli import FriendlyCommand, NumberRange
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


def test_what_strangers_wrote_does_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the label of a manifest cleared the line above it and wrote another verdict."""
    monkeypatch.delenv("PDFED_DEBUG", raising=False)
    hostile = "\x1b[1A\x1b[2K\rgood\n\x1b]0;owned\x07\u202e\ud800"
    said = CliRunner().invoke(command(NoSuchThing(f"It is {hostile}.", f"Ask {hostile}.")), []).output
    assert all(line.isprintable() for line in said.splitlines()) and len(said.splitlines()) == 2
    assert said.count(r"\x1b[1A\x1b[2K\rgood\n\x1b]0;owned\x07\u202e\ud800") == 2


@pytest.mark.parametrize(("value", "good"), [("nan", False), ("-nan", False), ("inf", False), ("21", False), ("2.5", True)])
def test_a_number_out_of_range_or_none_at_all_is_refused(value: str, good: bool) -> None:
    """Regression: NaN passed every range, and was found when a batch was drawn."""

    @click.command()
    @click.option("--guidance", type=NumberRange(0, 20))
    def run(guidance: float) -> None:
        click.echo(str(guidance))

    result = CliRunner().invoke(run, ["--guidance", value])
    assert (result.exit_code == 0) == good and ("'--guidance'" in result.output) != good


def test_a_developer_sees_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDFED_DEBUG", "1")
    result = CliRunner().invoke(command(NoSuchThing("It is gone.", "Look elsewhere.")), [])
    assert isinstance(result.exception, NoSuchThing)

# SPDX-License-Identifier: Apache-2.0
"""How every command ends: named errors without a traceback, and a Ctrl-C that says how to go on."""

from __future__ import annotations

import math
import os
import sys
from typing import Any

import click

from pdfed.errors import PDFedError


class FriendlyCommand(click.Command):
    """A click command whose PDFedErrors are shown as two lines: the cause, and what to do next.

    PDFED_DEBUG=1 shows tracebacks, for developers.
    """

    resume_hint = "Stopped. Run the same command again to go on: nothing is lost."

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("PDFED_DEBUG"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except PDFedError as fault:
            say_error(fault)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo(self.resume_hint, err=True)
            sys.exit(130)
        except OSError as fault:
            name = f" ({fault.filename})" if fault.filename else ""
            click.echo(f"Error: {type(fault).__name__}: {fault.strerror or fault}{name}.", err=True)
            click.echo("  → Check the path, its permissions and the free space, then run the command again.", err=True)
            sys.exit(1)


class NumberRange(click.FloatRange):
    """A click.FloatRange, which alone would let NaN pass: it is neither below nor above any bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


def say_error(fault: PDFedError) -> None:
    """Name, cause and remedy of an error, on stderr."""
    click.echo(f"Error: {type(fault).__name__}: {fault.cause}", err=True)
    click.echo(f"  → {fault.remedy}", err=True)

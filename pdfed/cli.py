# SPDX-License-Identifier: Apache-2.0
"""Shared parts of the commands: errors without tracebacks, common options, options from pydantic fields."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from pydantic import BaseModel, TypeAdapter, ValidationError

from pdfed.errors import PDFedError
from pdfed.spec import NodeConfig, wei
from pdfed.spec.describe import TYPE_NAMES, SpecField, describe

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


class FriendlyCommand(click.Command):
    """A click command that shows a PDFedError in two lines: the cause, and what to do next.

    PDFED_DEBUG=1 shows tracebacks, for developers.
    """

    resume_hint = "Stopped. Run the same command again to resume: nothing is lost."

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


def say_error(fault: PDFedError) -> None:
    """Print name, cause and remedy of an error to stderr."""
    click.echo(f"Error: {type(fault).__name__}: {fault.cause}", err=True)
    click.echo(f"  → {fault.remedy}", err=True)


# Types of options


class AddressType(click.ParamType):
    """An account's address, checksummed. `checksum`: small letters alone are refused, as a typing error would pass."""

    name = "address"

    def __init__(self, checksum: bool = False) -> None:
        self._checksum = checksum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from eth_utils.address import is_address, to_checksum_address

        if not is_address(value):
            self.fail(f"{value} is no address (0x and 40 hexadecimal digits), or its checksum is wrong.", param, ctx)
        address = str(to_checksum_address(value))
        if self._checksum and value != address:
            self.fail(f"write it with its checksum, as wallets show it: {address}, if no digit is wrong.", param, ctx)
        return address


class AmountType(click.ParamType):
    """An amount of money in wei; 0 only if `zero`."""

    name = "amount"

    def __init__(self, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            amount = wei(value)
        except ValueError as fault:
            self.fail(f"{fault}.", param, ctx)
        if not amount and not self._zero:
            self.fail("nothing would be paid.", param, ctx)
        return amount


class NumberRange(click.FloatRange):
    """A click.FloatRange that refuses NaN and infinity too: NaN is neither below nor above any bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


class ValidatedText(click.ParamType):
    """Text that pydantic converts, such as an amount of money. annotation: a type with validators; name: for the help text."""

    def __init__(self, annotation: Any, name: str) -> None:
        self.name = name
        self._adapter = TypeAdapter(annotation)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._adapter.validate_python(value)
        except ValidationError as fault:
            return self.fail(fault.errors()[0]["msg"].removeprefix("Value error, "), param, ctx)


# Options from the fields of pydantic models


def field_option(model: type[BaseModel], name: str, **changes: Any) -> Decorator:
    """Add the option of one field: its type, bounds, choices, default and description.

    A tuple becomes a repeatable option, a bool a pair --name/--no-name. changes: keywords of click.option that replace the
    field's.
    """
    (field,) = (field for field in describe(model) if field.name == name)
    flag = name.replace("_", "-")
    keywords: dict[str, Any] = {"help": field.description, "default": field.default, "show_default": True}
    if field.type is bool:
        return click.option(f"--{flag}/--no-{flag}", **keywords | changes)
    if field.repeated:
        keywords |= {"multiple": True, "help": f"{field.description} Repeatable; replaces the list of the --config file."}
    if field.type is str and field.type_name != TYPE_NAMES[str]:
        keywords["metavar"] = field.type_name.upper()
    return click.option(f"--{flag}", **keywords | {"type": _click_type(field)} | changes)


def options_of(model: type[BaseModel], *names: str) -> Decorator:
    """Add the options of all fields of `model`, or of those named.

    The command gets them as one argument, `flags`: the values given on the command line. Other fields are left out, so that
    the values of a file and the defaults of the model hold for them.
    """
    fields = [field for field in describe(model) if not names or field.name in names]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_flags(*args: Any, **values: Any) -> Any:
            source = click.get_current_context().get_parameter_source
            options = {field.name: values.pop(field.name) for field in fields}
            flags = {name: value for name, value in options.items() if source(name) is not ParameterSource.DEFAULT}
            return command(*args, **values, flags=flags)

        decorated: Command = with_flags
        for field in reversed(fields):
            changes = {"help": f"{field.description}  [required, here or in --config]"} if field.required and not names else {}
            decorated = field_option(model, field.name, **changes)(decorated)
        return decorated

    return decorate


def _click_type(field: SpecField) -> click.ParamType:
    limits = field.limits
    bounds: dict[str, Any] = {
        "min": limits.get("ge", limits.get("gt")),
        "max": limits.get("le", limits.get("lt")),
        "min_open": "gt" in limits,
        "max_open": "lt" in limits,
    }
    if field.choices:
        return click.Choice(field.choices)
    if field.type is int:
        return click.IntRange(**bounds) if limits else click.INT
    if field.type is float:
        return NumberRange(**bounds)
    return click.STRING if field.type is str else ValidatedText(field.type, field.type_name)


# Options that several commands have; --network is in pdfed.chain.networks

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def contract_option(*, required: bool = True) -> Decorator:
    """Add --contract: an address; None if it is not required and not given."""
    return click.option("--contract", metavar="ADDRESS", required=required, help="Address of the task's contract.")


def amount_option() -> Decorator:
    """Add --amount, which gives `amount` in wei."""
    return click.option("--amount", type=AmountType(), metavar="AMOUNT", required=True, help='Amount, such as "1 ether".')


def account_option(*, required: bool = True, help: str = "Alias of an Ape account (`ape accounts list`).") -> Decorator:
    """Add --account: an alias; None if it is not required and not given."""
    return click.option("--account", metavar="ALIAS", required=required, help=help)


def store_option() -> Decorator:
    """Add --store: the URL of a store."""
    return field_option(NodeConfig, "store")


def home_option(default: str = NodeConfig.model_fields["home"].default) -> Decorator:
    """Add --home: a folder as a Path."""
    return field_option(NodeConfig, "home", type=FOLDER, default=default)


def model_option() -> Decorator:
    """Add --model: a name for `Public.find`."""
    return click.option("--model", default="champion", show_default=True, help="Id of a model, or champion.")


def threads_option(default: int = 1) -> Decorator:
    """Add --threads: a number for torch.set_num_threads."""
    return field_option(NodeConfig, "threads", default=default)


def config_option() -> Decorator:
    """Add --config: a node's YAML file as a Path, or None."""
    return click.option(
        "--config", type=click.Path(path_type=Path), help="YAML file of a node's configuration (docs/reference.md); flags win."
    )


def json_option() -> Decorator:
    """Add --json: the argument `as_json` of the command, a bool."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

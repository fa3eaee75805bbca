# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference.md (`make reference`): all commands with their options, all fields of task files and node files.

Everything on the page comes from the click commands in scripts/ and from the descriptions of the pydantic models.
"""

from __future__ import annotations

import inspect
import runpy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from pdfed.spec import PRESETS, NodeConfig, TaskFile
from pdfed.spec.describe import SpecField, describe
from pdfed.spec.money import ETHER

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
INTRODUCTION = """# Reference

Written by `make reference` from the commands and the models of their files; changes made here by hand are lost.

- [Commands](#commands): {commands}
- [Task file](#task-file): the public settings of a task, for `ape run deploy --task FILE`
- [Node file](#node-file): the private configuration of a node, for `ape run node --config FILE`

An *amount* is "0.1 ether", "5 gwei" or a whole number of wei. An *address* is "0x" and 40 hexadecimal digits, in quotes in a
file. An unknown field is an error.
"""
PLURALS = {"address": "addresses", "integer": "integers", "text": "texts"}
COMMANDS = """
## Commands

Ape adds `-h` (help) and `-v LEVEL` (verbosity: ERROR, WARNING, SUCCESS, INFO or DEBUG) to each command. With `PDFED_DEBUG=1` in
the environment, errors come with their traceback.
"""

PRESET_WORDS = """
A file may start from a preset, which sets all required fields, and override any field (`preset: digits`). `--task digits` takes
the preset without changes.

"""


def page() -> str:
    """Return the text of docs/reference.md."""
    commands: dict[str, click.Command] = {}
    for file in sorted((ROOT / "scripts").glob("*.py")):
        command = runpy.run_path(str(file))["cli"]
        group = command.commands if isinstance(command, click.Group) else {}
        commands |= {f"{file.stem} {name}": each for name, each in group.items()} or {file.stem: command}
    links = ", ".join(f"[{name}](#ape-run-{name.replace(' ', '-')})" for name in commands)
    parts = [INTRODUCTION.format(commands=links), COMMANDS]
    parts += [_command(name, command) for name, command in commands.items()]
    presets = ((f"`{name}`", preset["task"]["description"]) for name, preset in PRESETS.items())
    parts += ["\n## Task file\n", _paragraphs(TaskFile), PRESET_WORDS, _table(("preset", "task"), presets)]
    parts += _models(TaskFile, "")
    parts += ["\n## Node file\n", _paragraphs(NodeConfig), "\n", _fields(NodeConfig, "")]
    return "".join(parts)


# Commands


def _command(name: str, command: click.Command) -> str:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    options = [param for param in command.params if isinstance(param, click.Option)]
    usage = " ".join([f"ape run {name}", *(f"[{argument.human_readable_name}]" for argument in arguments)])
    rows = ((_names(option), _values(option), _default(option), (option.help or "").replace("  ", " ")) for option in options)
    heading = f"\n### ape run {name}\n\n`{usage} [OPTIONS]`\n"
    return heading + _paragraphs(command.callback) + "\n" + _table(("option", "value", "default", "description"), rows)


def _names(option: click.Option) -> str:
    return " / ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _values(option: click.Option) -> str:
    kind = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return " or ".join(f"`{choice}`" for choice in kind.choices)
    if isinstance(kind, click.IntRange | click.FloatRange):
        limits = {"gt" if kind.min_open else "ge": kind.min, "lt" if kind.max_open else "le": kind.max}
        number = "integer" if isinstance(kind, click.IntRange) else "number"
        return ", ".join(filter(None, (number, _range({name: value for name, value in limits.items() if value is not None}))))
    if option.metavar is None and kind in (click.STRING, click.INT):
        return kind.name
    return f"`{option.metavar or kind.name.upper()}`"


def _default(option: click.Option) -> str:
    if option.required:
        return "**required**"
    if isinstance(option.show_default, str):
        return option.show_default
    if option.secondary_opts:
        return f"`{option.opts[0] if option.default else option.secondary_opts[0]}`"
    return "" if option.is_flag or option.default in (None, ()) else f"`{option.default}`"


# Files


def _models(model: type[BaseModel], place: str) -> Iterator[str]:
    """The section of a model, then those of the models in its fields. place: its name in the file, such as task.images."""
    yield f"\n### `{place}`\n" + _paragraphs(model) + "\n" if place else "\n"
    yield _fields(model, place)
    for field in describe(model):
        if _is_model(field):
            yield from _models(field.type, f"{place}.{field.name}".lstrip("."))


def _fields(model: type[BaseModel], place: str) -> str:
    rows = []
    for field in describe(model):
        kind = f"[fields](#{place.replace('.', '')}{field.name})" if _is_model(field) else _type(field)
        rows.append((f"`{field.name}`", kind, _value(field), _limits(field), field.description))
    return _table(("field", "type", "default", "bounds", "description"), rows)


def _is_model(field: SpecField) -> bool:
    return isinstance(field.type, type) and issubclass(field.type, BaseModel)


def _type(field: SpecField) -> str:
    name = " or ".join(f"`{choice}`" for choice in field.choices) or field.type_name
    return f"list of {PLURALS.get(name, name)}" if field.repeated else name


def _value(field: SpecField) -> str:
    if field.required:
        return "**required**"
    if _is_model(field) or field.default is None:
        return ""
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, tuple):
        return f"`[{', '.join(map(str, field.default))}]`"
    return f"`{field.default}`" if field.default != "" else '`""`'


def _limits(field: SpecField) -> str:
    lengths = {"ge": field.limits.get("min_length"), "le": field.limits.get("max_length")}
    length = _range({name: value for name, value in lengths.items() if value is not None})
    unit = "entries" if field.repeated else "characters"
    bounds = {name: value for name, value in field.limits.items() if name in ("ge", "gt", "le", "lt")}
    pattern = f"`{field.limits['pattern']}`" if "pattern" in field.limits else ""
    amount = field.type_name == "amount"
    return "; ".join(filter(None, (_range(bounds, amount), f"{length} {unit}" if length else "", pattern)))


# Markdown


def _range(limits: dict[str, Any], amount: bool = False) -> str:
    """A range in words: "1 to 64", "at least 1", "over 0 and below 1". amount: of wei, shown in ether."""
    shown = {name: f"{value / ETHER:g} ether" if amount else _number(value) for name, value in limits.items()}
    if shown.keys() == {"ge", "le"}:
        return f"{shown['ge']} to {shown['le']}"
    words = {"ge": "at least", "gt": "over", "le": "at most", "lt": "below"}
    return " and ".join(f"{words[name]} {shown[name]}" for name in words if name in shown)


def _number(value: float) -> str:
    powers: dict[float, str] = {2**32 - 1: "2^32 − 1", 2**40 - 1: "2^40 − 1", 2**63 - 1: "2^63 − 1", 10**11: "10^11"}
    return powers.get(value, f"{value:,.10g}")


def _paragraphs(documented: Any) -> str:
    """The docstring, each paragraph on one line."""
    paragraphs = inspect.cleandoc(documented.__doc__ or "").split("\n\n")
    return "".join(f"\n{' '.join(paragraph.split())}\n" for paragraph in paragraphs)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE.relative_to(ROOT)}")

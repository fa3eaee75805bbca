# SPDX-License-Identifier: Apache-2.0
"""Reading task files, node files and received task.json: every fault is named with its place in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pdfed.errors import PDFedError
from pdfed.spec.node_config import NodeConfig
from pdfed.spec.presets import PRESETS
from pdfed.spec.task import TASK_VERSION, TaskFile, TaskSpec
from pdfed.untrusted_json import read_json

MAX_BYTES = 1_000_000  # a task spec is a few kilobytes; what is larger is not one
Model = TypeVar("Model", bound=BaseModel)


class SpecError(PDFedError):
    """A task file, node file or received task spec that is missing, unreadable or wrong."""


class TaskVersionError(SpecError):
    """A task made for another version of this program."""


def read_task_file(source: str | Path) -> TaskFile:
    """A preset by name (`digits`), or a YAML file: `preset:` names the row it starts from, the rest overrides it."""
    if str(source) in PRESETS:
        return _validated(TaskFile, PRESETS[str(source)], f"preset {source}")
    given = _read_yaml(Path(source))
    preset = given.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise SpecError(f"{source} names the preset {preset!r}, which does not exist.", f"Choose one of: {', '.join(PRESETS)}.")
    _check_version(given.get("task"), str(source))
    return _validated(TaskFile, _overlaid(PRESETS.get(preset or "", {}), given), str(source))


def read_task_json(content: bytes) -> TaskSpec:
    """The task spec of a genesis bundle. Hostile input: bounded, strictly checked."""
    try:
        given = read_json(content, MAX_BYTES)
    except ValueError as fault:
        raise SpecError(f"The task spec can't be read: {fault}.", "Ask the task's sponsor for a working genesis.") from fault
    _check_version(given, "the genesis bundle's task.json")
    return _validated(TaskSpec, given, "task.json")


def read_node_config(path: Path | None, flags: dict[str, Any]) -> NodeConfig:
    """A node's choices: the YAML file at `path`, if any, with the flags that were given on top."""
    given = _read_yaml(path) if path is not None else {}
    return _validated(NodeConfig, {**given, **flags}, str(path or "the flags"))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path} is larger than {MAX_BYTES} bytes.", "Name a task or node file, not data.")
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as fault:
        names = ", ".join(PRESETS)
        raise SpecError(f"{path} can't be read: {fault.strerror}.", f"Name a YAML file, or a preset: {names}.") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        line = str(fault).splitlines()[0]
        raise SpecError(f"{path} is not YAML: {line}.", "Mend that place; the README shows an example.") from fault
    if not isinstance(given, dict):
        raise SpecError(f"{path} holds no fields.", "Write `name: value` lines; the README shows an example.")
    return given


def _check_version(task: object, where: str) -> None:
    version = task.get("version", TASK_VERSION) if isinstance(task, dict) else TASK_VERSION
    if version != TASK_VERSION:
        raise TaskVersionError(
            f"{where} is a task of version {version!r}; this program knows version {TASK_VERSION}.",
            "Install the PDFed release that the task was made with.",
        )


def _overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for field, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(field), dict):
            merged[field] = _overlaid(merged[field], value)
        else:
            merged[field] = value
    return merged


def _validated(model: type[Model], given: object, where: str) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        more = f" ({fault.error_count() - 1} more)" if fault.error_count() > 1 else ""
        raise SpecError(f"{where}: {place}: {first['msg']}{more}.", "Mend that field and run again.") from fault

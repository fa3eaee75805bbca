# SPDX-License-Identifier: Apache-2.0
"""Read task files, node files and the task.json of a genesis bundle. An error names the field that is wrong."""

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

MAX_BYTES = 1_000_000  # a task or node file has a few kilobytes
Model = TypeVar("Model", bound=BaseModel)


class SpecError(PDFedError):
    """A task file, node file or task.json is missing, unreadable or wrong."""


class TaskVersionError(SpecError):
    """A task has the format of another version of this program."""


def read_task_file(source: str | Path) -> TaskFile:
    """Read a task: a preset by name (`digits`), or a YAML file, whose `preset:` names the preset that its fields override.

    Raises SpecError.
    """
    if str(source) in PRESETS:
        return _validated(TaskFile, PRESETS[str(source)], f"preset {source}")
    fields = _read_yaml(Path(source))
    preset = fields.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise SpecError(f"{source} names the preset {preset!r}, which does not exist.", f"Choose one of: {', '.join(PRESETS)}.")
    _check_version(fields.get("task"), str(source))
    return _validated(TaskFile, _merged(PRESETS.get(preset or "", {}), fields), str(source))


def read_task_json(content: bytes) -> TaskSpec:
    """Read the task.json of a genesis bundle. The content is untrusted: bounded and strictly checked. Raises SpecError."""
    try:
        fields = read_json(content, MAX_BYTES)
    except ValueError as fault:
        raise SpecError(f"The task spec can't be read: {fault}.", "Ask the task's sponsor for a working genesis.") from fault
    _check_version(fields, "the genesis bundle's task.json")
    return _validated(TaskSpec, fields, "task.json")


def read_node_config(path: Path | None, flags: dict[str, Any]) -> NodeConfig:
    """Read a node's configuration: the YAML file at `path`, if any, overridden by `flags` (field name → value).

    Raises SpecError.
    """
    fields = _read_yaml(path) if path is not None else {}
    return _validated(NodeConfig, {**fields, **flags}, str(path or "the flags"))


class _UniqueKeys(yaml.SafeLoader):
    """YAML without repeated keys: PyYAML alone takes the last of them, and of two `deny` lists one would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise yaml.YAMLError(f"{repeated!r} stands twice, near line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path} is larger than {MAX_BYTES} bytes.", "Name a task or node file, not data.")
        fields = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except OSError as fault:
        names = ", ".join(PRESETS)
        raise SpecError(f"{path} can't be read: {fault.strerror}.", f"Name a YAML file, or a preset: {names}.") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        line = str(fault).splitlines()[0]
        raise SpecError(f"{path} is not YAML: {line}.", "Mend that place; docs/reference.md lists the fields.") from fault
    if not isinstance(fields, dict):
        raise SpecError(f"{path} holds no fields.", "Write lines such as `name: value`; docs/reference.md lists the fields.")
    return fields


def _check_version(task: object, where: str) -> None:
    version = task.get("version", TASK_VERSION) if isinstance(task, dict) else TASK_VERSION
    if version != TASK_VERSION:
        raise TaskVersionError(
            f"{where} is a task of version {version!r}; this program knows version {TASK_VERSION}.",
            "Install the PDFed release that the task was made with.",
        )


def _merged(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Merge two nested dicts; values of `override` win."""
    merged = dict(base)
    for field, value in override.items():
        if isinstance(value, dict) and isinstance(merged.get(field), dict):
            merged[field] = _merged(merged[field], value)
        else:
            merged[field] = value
    return merged


def _validated(model: type[Model], fields: object, where: str) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file as a whole"
        more = f" ({fault.error_count() - 1} more)" if fault.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"{where}: {place}: {message}{more}.", "Correct that field and run the command again.") from fault

# SPDX-License-Identifier: Apache-2.0
"""Run an experiment by name, and store its results beside its settings.

An experiment is a module of this package with `Settings`, a frozen dataclass whose fields include `seed`, and
`run(settings, record)`. Its presets are in a YAML file of the same name: `smoke` takes seconds, `cpu` under an hour on two
cores, `paper` needs a GPU. The same seed gives the same numbers.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from pdfed.errors import PDFedError
from pdfed.experiments.record import Record

PRESETS = Path(__file__).parent  # folder of the YAML files
PACKAGES = ("torch", "diffusers", "transformers", "faiss-cpu", "numpy", "scipy", "scikit-learn")


class ExperimentError(PDFedError):
    """An unknown experiment, preset or setting, or a value that does not fit."""


def experiments() -> dict[str, tuple[str, ...]]:
    """Return the names of all experiments, each with its presets."""
    return {path.stem.replace("_", "-"): tuple(_read_presets(path)) for path in sorted(PRESETS.glob("*.yaml"))}


def settings_of(name: str, preset: str, changes: Mapping[str, str]) -> Any:
    """Return the `Settings` of experiment `name`: the preset's values, with `changes` (YAML text by field) on top.

    Raises ExperimentError for an unknown name, preset or field, and for a value that does not fit.
    """
    path = PRESETS / f"{name.replace('-', '_')}.yaml"
    if name not in experiments():
        raise ExperimentError(f"There is no experiment {name!r}.", f"Choose one of: {', '.join(experiments())}.")
    presets = _read_presets(path)
    if preset not in presets:
        raise ExperimentError(f"{name} has no preset {preset!r}.", f"Choose one of: {', '.join(presets)}.")
    kind = _module(name).Settings
    values = {**presets[preset], **{field: _value(field, text) for field, text in changes.items()}}
    known = [field.name for field in fields(kind)]
    for field in values:
        if field not in known:
            raise ExperimentError(f"{name} has no setting {field!r}.", f"Its settings are: {', '.join(known)}.")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as fault:
        first = fault.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ExperimentError(f"{name}: {field}: {first['msg']}.", "Correct that setting and run again.") from fault


def run_experiment(name: str, preset: str, changes: Mapping[str, str], record: Record) -> None:
    """Run experiment `name` and write its tables, figures, results.json and config.json into the record's folder.

    Raises ExperimentError if the folder holds a run with other settings, so that no folder mixes two runs.
    """
    settings = settings_of(name, preset, changes)
    config = {"experiment": name, "preset": preset, "settings": asdict(settings)}
    record.folder.mkdir(parents=True, exist_ok=True)
    _claim(record.folder / "config.json", json.loads(json.dumps(config)))
    started, cpu = time.monotonic(), time.process_time()
    _module(name).run(settings, record)
    record.fact("seconds", round(time.monotonic() - started, 1))
    record.fact("cpu_seconds", round(time.process_time() - cpu, 1))
    record.save()


def _claim(path: Path, config: dict[str, Any]) -> None:
    """Write `config`, the machine and the package versions to `path`; refuse a folder of a run with another config."""
    if path.exists():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            raise ExperimentError(f"{path} can't be read.", "Choose another --out folder, or delete this one.") from fault
        if {key: earlier.get(key) for key in config} != config:
            raise ExperimentError(
                f"{path.parent} holds a run with other settings.", "Choose another --out folder, or delete this one."
            )
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    config = {**config, "machine": machine, "packages": {package: version(package) for package in PACKAGES}}
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")


def _module(name: str) -> Any:
    return import_module(f"pdfed.experiments.{name.replace('-', '_')}")


def _read_presets(path: Path) -> dict[str, dict[str, Any]]:
    presets: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return presets


def _value(field: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise ExperimentError(f"The value of {field} is not YAML: {text!r}.", "Write a number, a word or a [list].") from fault

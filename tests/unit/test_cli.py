# SPDX-License-Identifier: Apache-2.0
"""Every command ends in words a person can use."""

from __future__ import annotations

import errno
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pdfed.cli import FriendlyCommand, NumberRange, config_option, options_of
from pdfed.errors import PDFedError
from pdfed.spec import NodeConfig, read_node_config
from pdfed.spec.describe import describe

ROOT = Path(__file__).resolve().parents[2]
BOB, CYD = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


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


# Flags of a node


@click.command()
@config_option()
@options_of(NodeConfig)
def configured(config: Path | None, flags: dict[str, Any]) -> None:
    """Print the configuration of a node."""
    click.echo(read_node_config(config, flags).model_dump_json())


def node_config(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(configured, words)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


OTHER_VALUES = {
    "role": "validator",
    "data": "./a",
    "store": "local:elsewhere",
    "keep_last": 0,
    "quota_mb": 7,
    "home": "elsewhere",
    "stake": "0.5 ether",
    "accept_terms": True,
    "images_per_submission": 64,
    "max_submissions": 3,
    "test_share": 0.25,
    "objective": "qn+dedup",
    "believe": "trainers",
    "allow": [BOB],
    "deny": [BOB, CYD],
    "alarm": 1,
    "parent": "mean",
    "top": 8,
    "submit_worse": True,
    "confirmations": 2,
    "dinov2": "./weights",
    "threads": 2,
    "seed": 5,
}


def words(field: str, value: Any) -> list[str]:
    flag = f"--{field.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    return [word for each in (value if isinstance(value, list) else [value]) for word in (flag, str(each))]


def test_every_field_of_a_node_has_a_flag() -> None:
    assert OTHER_VALUES.keys() == NodeConfig.model_fields.keys()
    flags = [word for field, value in OTHER_VALUES.items() for word in words(field, value)]
    assert node_config(*flags) == OTHER_VALUES | {"stake": 5 * 10**17}


def test_without_flags_the_defaults_of_the_model_hold() -> None:
    assert node_config("--data", "./a") == NodeConfig(data="./a").model_dump(mode="json")


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_a_flag_wins_over_the_file_even_with_the_default_value(tmp_path: Path, field: str) -> None:
    (file := tmp_path / "node.yaml").write_text(json.dumps(OTHER_VALUES))
    assert node_config("--config", str(file)) == OTHER_VALUES | {"stake": 5 * 10**17}
    default = NodeConfig.model_fields[field].get_default()
    given = {"data": "./b", "stake": 7, "max_submissions": 9, "allow": [CYD], "deny": [CYD]}.get(field, default)
    assert node_config("--config", str(file), *words(field, given))[field] == given != OTHER_VALUES[field]


def test_an_address_is_the_same_voter_in_any_capitals() -> None:
    """Regression: `deny` in small letters denied nobody, since the chain's addresses are checksummed."""
    assert node_config("--data", "a", "--deny", BOB.lower(), "--deny", CYD)["deny"] == [BOB, CYD]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--role", "sponsor"),
        ("--keep-last", "-1"),
        ("--keep-last", "many"),
        ("--test-share", "1"),
        ("--test-share", "nan"),
        ("--top", "9"),
        ("--confirmations", "65"),
        ("--seed", str(2**63)),
        ("--stake", "lots"),
        ("--deny", "bob"),
    ],
)
def test_a_flag_out_of_its_fields_bounds_is_refused_by_name(flag: str, value: str) -> None:
    refused: Result = CliRunner().invoke(configured, ["--data", "a", flag, value])
    assert refused.exit_code == 2 and f"'{flag}'" in refused.output


def test_help_tells_of_each_flag_what_the_field_says() -> None:
    shown = "".join(CliRunner().invoke(configured, ["--help"], terminal_width=200).output.split())
    for field in describe(NodeConfig):
        assert field.description and "".join(field.description.split()) in shown
        for bound in (field.limits.get(name) for name in ("ge", "gt", "le", "lt")):
            assert bound is None or str(bound) in shown


def test_help_of_every_command_is_shown_without_loading_torch_or_ape() -> None:
    code = (
        "import pathlib, runpy, sys\n"
        "for script in sorted(pathlib.Path('scripts').glob('*.py')):\n"
        "    runpy.run_path(str(script))['cli'].main(['--help'], standalone_mode=False)\n"
        "    assert not {'torch', 'ape'} & sys.modules.keys(), script\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("Usage:") == len(list((ROOT / "scripts").glob("*.py"))), done.stderr


def test_reading_proofs_audits_and_tables_loads_no_torch() -> None:
    """Regression: `prove-inclusion --check` and the tables of `audit` waited six seconds for torch, which they do not use."""
    modules = "pdfed.inclusion, pdfed.report.terminal, pdfed.report.facts, pdfed.audit"
    heavy = {"torch", "diffusers", "transformers", "faiss", "ape"}
    code = f"import sys, {modules}; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=300).returncode == 0


def test_the_demo_empties_no_folder_but_its_own(tmp_path: Path) -> None:
    """Regression: `ape run demo --home DIR` deleted DIR/store and DIR/nodes, whatever they held."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine.txt").write_text("precious")
    script = runpy.run_path(str(ROOT / "scripts" / "demo.py"))
    refused = CliRunner().invoke(script["cli"], ["--home", str(tmp_path)])
    assert refused.exit_code == 2 and "holds other files" in refused.output
    assert (tmp_path / "store" / "mine.txt").read_text() == "precious"

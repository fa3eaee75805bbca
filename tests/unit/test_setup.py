# SPDX-License-Identifier: Apache-2.0
"""Set-up: steps that say what they do, and a checkout that shares nothing with another one but the user's accounts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from setup import toolchain

ROOT = Path(__file__).resolve().parents[2]
STEP = ROOT / "setup" / "step.sh"


def run_step(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(STEP), *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_a_step_says_what_it_does_and_how_long_that_took(tmp_path: Path) -> None:
    done = run_step(tmp_path, "Installing things", "Try again.", "echo", "many lines of pip")
    assert done.returncode == 0
    assert done.stdout.startswith("Installing things … done in ") and done.stdout.endswith(" s\n")
    assert "many lines of pip" in (tmp_path / ".build" / "setup.log").read_text()


def test_a_failed_step_names_itself_its_output_and_what_to_do(tmp_path: Path) -> None:
    run_step(tmp_path, "Before", "-", "echo", "of an earlier step")
    done = run_step(tmp_path, "Installing things", "Check the network, then run make again.", "sh", "-c", "echo no route; exit 7")
    assert done.returncode == 1
    assert "  | no route\n" in done.stdout and "earlier step" not in done.stdout
    assert "Failed step: Installing things" in done.stdout
    assert done.stdout.rstrip().endswith("→ Check the network, then run make again.")


def test_each_checkout_has_an_ape_folder_of_its_own_and_shares_the_accounts(tmp_path: Path) -> None:
    folders = [tmp_path / name / ".build" / "ape" for name in ("one", "other")]
    (tmp_path / "home" / ".ape" / "ledger").mkdir(parents=True)  # of a plugin for hardware wallets
    (tmp_path / "home" / ".ape" / "packages").mkdir()
    for folder in folders:
        toolchain.place_ape_folder(tmp_path / "home", folder)
        toolchain.place_ape_folder(tmp_path / "home", folder)  # set-up may run again
    (tmp_path / "home" / ".ape" / "ape-config.yaml").write_text("node: {}\n")
    (folders[0] / "accounts" / "me.json").write_text("{}")
    (folders[0] / "packages").mkdir()
    assert (folders[1] / "accounts" / "me.json").is_file() and (folders[1] / "ape-config.yaml").is_file()
    assert (folders[1] / "ledger").resolve() == tmp_path / "home" / ".ape" / "ledger"
    assert not (folders[1] / "packages").exists() and not list((tmp_path / "home" / ".ape" / "packages").iterdir())


def test_ape_works_below_this_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Regression: the cache of the contract's libraries lay in ~/.ape, under names that all checkouts have in common."""
    monkeypatch.delenv("APE_DATA_FOLDER", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr(sys, "path", ["/lib"])
    monkeypatch.chdir(tmp_path)

    exec(toolchain.pth_lines(ROOT))  # as Python does with a line of a .pth file
    assert sys.path == ["/lib", str(ROOT)]
    assert os.environ["APE_DATA_FOLDER"] == str(ROOT / ".build" / "ape")
    assert os.environ["PATH"] == f"/usr/bin:{ROOT / '.build' / 'bin'}"


def test_a_checkout_with_a_linked_environment_runs_its_own_scripts(tmp_path: Path) -> None:
    """Regression: `ape run` in a checkout whose .venv is a link ran the scripts of the checkout that owns it."""
    for name in ("linked", "owner"):
        checkout = tmp_path / name
        for folder in ("scripts", "pdfed"):
            (checkout / folder).mkdir(parents=True)
        (checkout / "ape-config.yaml").touch()
        (checkout / "pdfed" / "mechanism.py").touch()
        command = f"import click\n@click.command()\ndef cli():\n    click.echo('ran {name}')\n"
        for script in ("hello", "other"):  # Ape takes the checkout from sys.path after the first script
            (checkout / "scripts" / f"{script}.py").write_text(command)
    (tmp_path / "owner.pth").write_text(toolchain.pth_lines(tmp_path / "owner"))
    start = f"import site; site.addsitedir({str(tmp_path)!r}); from ape._cli import cli; cli()"
    for path in ({}, {"PYTHONPATH": str(tmp_path / "linked")}):
        settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | path
        run = subprocess.run(
            [sys.executable, "-P", "-c", start, "run", "hello"],
            cwd=tmp_path / "linked", env=settings, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert run.stdout.strip() == "ran linked", run.stderr


def test_git_ignores_a_linked_environment(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in (".venv", "node_modules"):
        (tmp_path / name).symlink_to(tmp_path)
    told = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["?? .gitignore"]

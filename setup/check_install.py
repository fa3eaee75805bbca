# SPDX-License-Identifier: Apache-2.0
"""Check that a stranger can install PDFed: `make check-install`.

1. The public index alone, without this machine's pip settings, has every package of requirements.lock under its hashes, and
   the version of torch that pyproject.toml names.
2. The wheel of the project installs into an empty environment beside these packages, and its tests pass there, outside the
   checkout.

Takes minutes and about 2 GB below the system's temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"


def torch_requirement() -> str:
    """The one requirement on torch in pyproject.toml, such as "torch==2.13.0"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = (each for each in project["dependencies"] if each.startswith("torch"))
    return str(requirement)


def without_pip_settings(environment: dict[str, str]) -> dict[str, str]:
    """Return `environment` as on a machine where nobody configured pip, without this checkout on the path."""
    dropped = ("PIP_", "PYTHONPATH", "UV_")
    return {name: value for name, value in environment.items() if not name.startswith(dropped)} | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run(title: str, *command: str | Path, environment: dict[str, str], cwd: Path) -> None:
    """Run one check and say how long it took. Ends the program with the command's output where it fails."""
    print(f"{title} …", end="", flush=True)
    start = time.monotonic()
    done = subprocess.run([str(part) for part in command], env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f" failed\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        sys.exit(f"Failed: {title}. Command: {' '.join(map(str, command))}")
    print(f" ok, {time.monotonic() - start:.0f} s")


def main() -> None:
    clean = without_pip_settings(dict(os.environ))
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix="pdfed-install-") as scratch:
        folder = Path(scratch)
        venv.create(folder / "empty", with_pip=True)
        python = folder / "empty" / "bin" / "python"
        dry = (python, "-m", "pip", "install", "--dry-run", "--no-deps")
        run("Every locked package is on the public index", *dry, "--require-hashes", "-r", LOCK, environment=clean, cwd=folder)
        run(f"{torch_requirement()} is on the public index", *dry, torch_requirement(), environment=clean, cwd=folder)
        build = (python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder / "wheel", ROOT)
        run("The wheel builds", *build, environment=clean, cwd=folder)
        (wheel,) = (folder / "wheel").glob("pdfed-*.whl")
        install = (python, "-m", "pip", "install")
        # With this machine's settings: they say which build of torch is wanted here.
        run("The locked packages install", *install, "--no-deps", "--require-hashes", "-r", LOCK, environment=own, cwd=folder)
        run("torch installs", *install, torch_requirement(), environment=own, cwd=folder)
        run("The wheel installs", *install, "--no-index", wheel, environment=own, cwd=folder)
        run("All requirements are met", python, "-m", "pip", "check", environment=own, cwd=folder)
        tests = (sys.executable, "-m", "pytest", "-p", "no:ape_test", "-q", ROOT / "tests" / "integration" / "test_wheel.py")
        run("The wheel works there", *tests, environment={**own, "PDFED_WHEEL_PYTHON": str(python)}, cwd=ROOT)


if __name__ == "__main__":
    main()

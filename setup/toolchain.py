# SPDX-License-Identifier: Apache-2.0
"""Puts the compiler, the local chain and forge where they are looked for. Run by `make setup`, with the project's own Python.

A native solc of the pinned version, or an anvil, that the user already has is used instead of the npm one.
Writes nothing outside the checkout: the paths reach every program of `.venv` through `pdfed.pth`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARIES = ROOT / ".build" / "bin"
COMPILERS = ROOT / ".build" / "solc"


def pinned_solc() -> str:
    """The compiler version named in ape-config.yaml."""
    found = re.search(r"^solidity:\n(?:  .*\n)*?  version: (\S+)$", (ROOT / "ape-config.yaml").read_text(), re.M)
    if found is None:
        sys.exit("ape-config.yaml names no solidity version: restore the file from git.")
    return found.group(1)


def native_solc(version: str) -> Path | None:
    """A native solc of this version on PATH or in solcx's own folder, if there is one."""
    on_path = shutil.which("solc")
    for candidate in (on_path, Path.home() / ".solcx" / f"solc-v{version}"):
        if candidate is None or not Path(candidate).is_file():
            continue
        answer = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if f"Version: {version}+" in answer.stdout:
            return Path(candidate).resolve()
    return None


def place(source: Path, target: Path) -> None:
    """Make `target` a link to `source`, replacing what was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source)


def place_compiler(version: str) -> str:
    native = native_solc(version)
    target = COMPILERS / f"solc-v{version}"
    if native is not None:
        place(native, target)
        return f"solc {version}: {native}"
    stand_in = ROOT / "setup" / "solc.js"
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    place(stand_in, target)
    return f"solc {version}: npm package"


def place_foundry(program: str) -> str:
    """Link one of Foundry's programs. An anvil that the user has is as good as any; forge is the pinned one, whose reports and
    random games are the same everywhere, unless npm has none for this machine."""
    own = shutil.which(program)
    if own is not None and BINARIES in Path(own).parents:
        own = None
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    package = ROOT / "node_modules" / "@foundry-rs" / f"{program}-{sys.platform}-{machine}" / "bin" / program
    if own is not None and (program == "anvil" or not package.is_file()):
        place(Path(own), BINARIES / program)
        return f"{program}: {own}"
    if not package.is_file():
        sys.exit(f"The npm package of {program} has none for {sys.platform}/{platform.machine()}: install Foundry yourself.")
    place(package, BINARIES / program)
    return f"{program}: npm package"


def tell_python() -> None:
    """Every program of .venv finds the package, the compiler and the chain, without an activated shell."""
    line = (
        "import os; "
        f"os.environ.setdefault('SOLCX_BINARY_PATH', {str(COMPILERS)!r}); "
        f"os.environ['PATH'] = os.environ.get('PATH', '') + os.pathsep + {str(BINARIES)!r}"
    )
    Path(sysconfig.get_paths()["purelib"], "pdfed.pth").write_text(f"{ROOT}\n{line}\n")


def main() -> None:
    if Path(sys.prefix) != ROOT / ".venv":
        sys.exit("Run `make setup`: this program prepares the project's own .venv.")
    os.chdir(ROOT)
    print(place_compiler(pinned_solc()))
    print(place_foundry("anvil"))
    print(place_foundry("forge"))
    tell_python()


if __name__ == "__main__":
    main()

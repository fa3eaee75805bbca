# SPDX-License-Identifier: Apache-2.0
"""Link compiler, local chain and forge into `.build`, and give Ape a data folder there. `make setup` runs it with .venv's Python.

A native solc of the pinned version, or an anvil, that the user has already is preferred to the npm package.
The programs of `.venv` learn these paths from `pdfed.pth`. Two checkouts share the user's Ape accounts and
Ape settings, nothing else.
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
APE_CACHES = ("packages", "processes", "deployments", "ethereum")  # of Ape itself: each checkout has its own
APE_FOLDER = ROOT / ".build" / "ape"


def pinned_solc() -> str:
    """The compiler version named in ape-config.yaml."""
    match = re.search(r"^solidity:\n(?:  .*\n)*?  version: (\S+)$", (ROOT / "ape-config.yaml").read_text(), re.M)
    if match is None:
        sys.exit("ape-config.yaml names no solidity version: restore the file from git.")
    return match.group(1)


def native_solc(version: str) -> Path | None:
    """Path of a native solc of this version on PATH or in solcx's folder, None if there is none."""
    on_path = shutil.which("solc")
    for candidate in (on_path, Path.home() / ".solcx" / f"solc-v{version}"):
        if candidate is None or not Path(candidate).is_file():
            continue
        answer = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False)
        if f"Version: {version}+" in answer.stdout:
            return Path(candidate).resolve()
    return None


def place(source: Path, target: Path) -> None:
    """Make `target` a link to `source`, replacing an earlier link."""
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
    """Link `program` of Foundry. The user's own anvil is preferred; forge is npm's pinned one, whose reports and random games
    are the same everywhere, unless npm has none for this machine."""
    # Not those of a checkout, this one's or another's, whose .venv put them on the path.
    path = [folder for folder in os.get_exec_path() if Path(folder).parts[-2:] != (".build", "bin")]
    own = shutil.which(program, path=os.pathsep.join(path))
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    package = ROOT / "node_modules" / "@foundry-rs" / f"{program}-{sys.platform}-{machine}" / "bin" / program
    if own is not None and (program == "anvil" or not package.is_file()):
        place(Path(own), BINARIES / program)
        return f"{program}: {own}"
    if not package.is_file():
        sys.exit(f"The npm package of {program} has none for {sys.platform}/{platform.machine()}: install Foundry yourself.")
    place(package, BINARIES / program)
    return f"{program}: npm package"


def place_ape_folder(home: Path, folder: Path) -> None:
    """Give this checkout its own Ape data folder (package cache, processes, deployments): Ape's default, `~/.ape`, is shared.

    The user's accounts, those of account plugins (hardware wallets) and global settings stay in `~/.ape`, linked: a wallet must
    not depend on a checkout.
    """
    shared = home / ".ape"
    (shared / "accounts").mkdir(parents=True, exist_ok=True)
    for entry in [shared / "ape-config.yaml", *shared.iterdir()]:
        if entry.name not in APE_CACHES:
            place(entry, folder / entry.name)


def pth_lines(root: Path) -> str:
    """Content of `pdfed.pth`: every program of .venv finds package, compiler, chain and Ape folder without an activated shell.

    They are those of the checkout that a program is started in, so that checkouts that share a .venv by a link share no code;
    and `root`'s where it is started anywhere else.
    """
    return (
        "import os, sys; here = os.path.isfile('ape-config.yaml') and os.path.isfile('pdfed/mechanism.py'); "
        f"checkout = os.getcwd() if here else {str(root)!r}; "
        "sys.path.append(checkout); build = os.path.join(checkout, '.build'); "
        "os.environ['APE_DATA_FOLDER'] = os.environ.get('APE_DATA_FOLDER') or os.path.join(build, 'ape'); "
        "os.environ['SOLCX_BINARY_PATH'] = os.environ.get('SOLCX_BINARY_PATH') or os.path.join(build, 'solc'); "
        "os.environ['PATH'] = os.environ.get('PATH', '') + os.pathsep + os.path.join(build, 'bin')\n"
    )


def main() -> None:
    if Path(sys.prefix) != ROOT / ".venv":
        sys.exit("Run `make setup`: this program prepares the project's own .venv.")
    os.chdir(ROOT)
    print(place_compiler(pinned_solc()))
    print(place_foundry("anvil"))
    print(place_foundry("forge"))
    try:
        place_ape_folder(Path.home(), APE_FOLDER)
    except OSError as fault:
        sys.exit(f"{fault.filename}: {fault.strerror}. Ape keeps accounts in ~/.ape/accounts: make it writable, or set HOME.")
    if not (ROOT / ".venv").is_symlink():
        Path(sysconfig.get_paths()["purelib"], "pdfed.pth").write_text(pth_lines(ROOT))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The wheel outside the checkout, and the examples: score two folders, read a contract, verify a bundle.

By default the wheel is installed into an environment that has the packages of `.venv` and nothing of the checkout.
`make check-install` runs the same tests in an environment made from nothing, named by PDFED_WHEEL_PYTHON.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pdfed.spec import read_node_config, read_task_file

from .conftest import ROOT, SMALLER, TINY_TASK, Sepolia, deploy_task

EXAMPLES = ROOT / "examples"
VERIFY = """
import sys
from pathlib import Path
from pdfed.bundle import genesis_of, open_bundle, verify_bundle
from pdfed.chain.client import ContractClient
from pdfed.chain.networks import connected
from pdfed.storage import cid_from_digest, open_store

network, contract, store, folder = sys.argv[1:]
with connected(network) as chain_id:
    cid = cid_from_digest(ContractClient.at(contract).terms().genesis)
    open_store(store).fetch(cid, Path(folder) / cid, 10**9, 60.0)
    print(verify_bundle(open_bundle(Path(folder) / cid), genesis_of(chain_id)).title)
"""


@dataclass(frozen=True)
class Installed:
    """A Python that has the wheel, and a folder that is no checkout."""

    python: str
    folder: Path

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the folder, without this checkout's settings."""
        own = {"PYTHONPATH", "SOLCX_BINARY_PATH", "PDFED_DEBUG"}
        settings = {name: value for name, value in os.environ.items() if name not in own} | environment
        command = [self.python, *map(str, arguments)]
        return subprocess.run(command, cwd=self.folder, env=settings, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("outside")
    python = os.environ.get("PDFED_WHEEL_PYTHON")
    if python is not None:
        return Installed(python, folder)
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = {**os.environ, "PIP_NO_INDEX": "1"}
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], env=offline, check=True)
    (wheel,) = folder.glob("pdfed-*.whl")
    python = str(environment / "bin" / "python")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", str(wheel)], env=offline, check=True)
    site = sysconfig.get_path("purelib", vars={"base": str(environment)})
    # A line of a .pth is a folder to import from; .pth files in that folder are not read, so the checkout stays out.
    Path(site, "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(python, folder)


@pytest.fixture(scope="module")
def contract(sepolia: Sepolia) -> str:
    task = {**TINY_TASK, "task": SMALLER, "genesis_images": 1000, "terms": {**TINY_TASK["terms"], "min_gain": 5}}
    return deploy_task(sepolia, "wheel", task, f"local:{sepolia.work}/wheel-store", "--pool", "0.1 ether")[0]


def test_the_package_is_the_wheels_and_light_to_import(installed: Installed) -> None:
    told = installed.run("-c", "import pdfed, sys; print(pdfed.__file__, 'torch' in sys.modules, 'ape' in sys.modules)")
    file, torch, ape = told.stdout.split()
    assert not Path(file).is_relative_to(ROOT) and (torch, ape) == ("False", "False")
    assert Path(file).with_name("py.typed").is_file()


def test_the_wheel_holds_the_package_and_its_data_alone(installed: Installed) -> None:
    told = installed.run("-c", "import importlib.metadata as m; print(*m.files('pdfed'), sep='\\n')")
    files = [Path(line) for line in told.stdout.splitlines() if not line.endswith((".py", ".pyc")) and "dist-info" not in line]
    assert {file.name for file in files if file.suffix not in (".yaml",)} == {
        "py.typed",
        "PDFed.json",
        "PDFedUse.json",
        "gas.json",
    }


def test_two_folders_are_scored(installed: Installed) -> None:
    scans = load_digits()
    for index, (scan, label) in enumerate(zip(scans.images[:260], scans.target, strict=False)):
        file = installed.folder / ("real" if index < 200 else "generated") / str(label) / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((scan * 15.9).astype(np.uint8)).save(file)
    told = installed.run(
        EXAMPLES / "score_two_folders.py", "real", "generated", "--size", "16", "--images", "300", OMP_NUM_THREADS="1"
    )
    assert told.returncode == 0, told.stderr
    lines = {
        line.split()[0]: line.split()[1] for line in told.stdout.splitlines() if line and line.split()[0] in ("FID", "copies")
    }
    assert float(lines["FID"]) > 0 and 0 <= int(lines["copies"]) <= 60


@pytest.mark.parametrize(
    "call",
    [
        ("score_two_folders.py", "nowhere", "nowhere"),
        ("score_two_folders.py", "", ""),
        ("score_two_folders.py", "nowhere", "nowhere", "--size", "0"),
        ("read_a_federation.py", "--network", "nowhere", "--contract", "0x00"),
    ],
)
def test_a_wrong_argument_of_an_example_ends_in_one_line(installed: Installed, call: tuple[str, ...]) -> None:
    told = installed.run(EXAMPLES / call[0], *call[1:])
    assert told.returncode == 1 and told.stderr.startswith("Error: ") and "Traceback" not in told.stderr


def test_a_federation_is_read(installed: Installed, sepolia: Sepolia, contract: str) -> None:
    network = f"ethereum:sepolia:{sepolia.url}"
    told = installed.run(EXAMPLES / "read_a_federation.py", "--network", network, "--contract", contract, **_local(sepolia))
    assert told.returncode == 0, told.stderr
    assert "pool 0.1000 ETH, 0 nodes, champion: model 0" in told.stdout
    assert "model 0 by" in told.stdout


def test_a_bundle_is_verified(installed: Installed, sepolia: Sepolia, contract: str) -> None:
    network, store = f"ethereum:sepolia:{sepolia.url}", f"local:{sepolia.work}/wheel-store"
    told = installed.run("-c", VERIFY, network, contract, store, installed.folder, **_local(sepolia))
    assert told.returncode == 0, told.stderr
    assert "digits" in told.stdout


def test_the_example_files_are_valid() -> None:
    task = read_task_file(EXAMPLES / "task.yaml")
    assert task.task.images.size == 64 and task.terms.min_stake == 10**17
    assert read_node_config(EXAMPLES / "node.yaml", {}).objective == "qn+dedup"


def _local(sepolia: Sepolia) -> dict[str, str]:
    return {"NO_PROXY": "*", "no_proxy": "*", "APE_DATA_FOLDER": str(sepolia.data_folder)}

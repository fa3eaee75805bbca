# SPDX-License-Identifier: Apache-2.0
"""Wrong input: each case gives a named error, its cause and a remedy, exit 1; no traceback, no transaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Sepolia

NOBODY = "0x000000000000000000000000000000000000dEaD"


def node(sepolia: Sepolia, contract: str, **changes: str) -> list[str]:
    flags = {
        "network": "sepolia",
        "contract": contract,
        "account": "ann",
        "data": "digits:4-6/12",
        "store": f"local:{sepolia.work}/store",
        "home": f"{sepolia.work}/bad",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return ["run", "node", *(word for name, value in flags.items() for word in (f"--{name}", value))]


def refused(sepolia: Sepolia, error: str, arguments: list[str], **environment: str) -> str:
    done = sepolia.ape(*arguments, timeout=120, **environment)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"Error: {error}" in said, said
    assert "→" in said
    assert "Traceback" not in said
    return said


def test_an_empty_folder(sepolia: Sepolia, deployed: str, tmp_path: Path) -> None:
    refused(sepolia, "NoPictures", node(sepolia, deployed, data=str(tmp_path)))


def test_only_corrupt_pictures(sepolia: Sepolia, deployed: str, tmp_path: Path) -> None:
    for digit in range(10):
        (tmp_path / str(digit)).mkdir()
        (tmp_path / str(digit) / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    said = refused(sepolia, "NoPictures", node(sepolia, deployed, data=str(tmp_path)))
    assert "10" in said


def test_a_task_scored_with_dinov2_whose_weights_are_not_here(sepolia: Sepolia, tmp_path: Path) -> None:
    """Regression: the error came only after the scoring models and the genesis were trained."""
    task = tmp_path / "task.yaml"
    task.write_text("preset: digits\ntask: {scoring: {features: dinov2}}\npublic: digits:0-1/3\n")
    said = refused(
        sepolia, "ModelMissing",
        ["run", "deploy", "--network", "sepolia", "--task", str(task), "--account", "sponsor", "--home", str(tmp_path),
         "--store", f"local:{tmp_path}/store", "--dinov2", str(tmp_path / "weights")],
    )  # fmt: skip
    assert f"{tmp_path}/weights" in said and "training the fingerprinter" not in said


def test_a_stake_below_the_minimum(sepolia: Sepolia, deployed: str) -> None:
    said = refused(sepolia, "StakeTooLow", node(sepolia, deployed, stake="0.01 ether"))
    assert "the minimum of this task is 250000000000000000 wei" in said  # the electorate, one voter here, puts up 1/4 of the pool


def test_an_address_without_a_contract(sepolia: Sepolia) -> None:
    refused(sepolia, "NotPDFed", node(sepolia, NOBODY))


def test_no_address_at_all(sepolia: Sepolia) -> None:
    refused(sepolia, "NotPDFed", node(sepolia, "my-contract"))


def test_an_account_without_money(sepolia: Sepolia, deployed: str) -> None:
    refused(sepolia, "Unfunded", node(sepolia, deployed, account="poor"))


def test_an_account_that_does_not_exist(sepolia: Sepolia, deployed: str) -> None:
    refused(sepolia, "NoSuchAccount", node(sepolia, deployed, account="nobody"))


def test_a_wrong_passphrase(sepolia: Sepolia, deployed: str) -> None:
    refused(sepolia, "AccountLocked", node(sepolia, deployed), APE_ACCOUNTS_ann_PASSPHRASE="wrong")


def test_a_store_without_the_genesis(sepolia: Sepolia, deployed: str, tmp_path: Path) -> None:
    refused(sepolia, "ContentUnavailable", node(sepolia, deployed, store=f"local:{tmp_path}/empty", home=f"{tmp_path}/home"))


def test_a_store_of_an_unknown_kind(sepolia: Sepolia, deployed: str) -> None:
    refused(sepolia, "StoreError", node(sepolia, deployed, store="ftp:somewhere"))


def test_a_chain_that_does_not_answer(sepolia: Sepolia, deployed: str) -> None:
    refused(sepolia, "NodeUnreachable", node(sepolia, deployed, network="ethereum:sepolia:http://127.0.0.1:9"))


def test_a_chain_of_another_number(sepolia: Sepolia, deployed: str) -> None:
    refused(sepolia, "WrongNetwork", node(sepolia, deployed, network=f"ethereum:mainnet:{sepolia.url}"))


def test_a_task_of_another_version(sepolia: Sepolia, tmp_path: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("preset: digits\ntask: {version: 7}\n")
    refused(sepolia, "TaskVersionError", ["run", "deploy", "--network", "sepolia", "--task", str(task), "--account", "sponsor"])


def test_a_pool_that_is_no_amount(sepolia: Sepolia) -> None:
    refused(sepolia, "SpecError", ["run", "deploy", "--network", "sepolia", "--pool", "plenty", "--account", "sponsor"])


@pytest.mark.parametrize("network", ["atlantis", "ethereum:atlantis"])
def test_a_network_that_does_not_exist(sepolia: Sepolia, deployed: str, network: str) -> None:
    done = sepolia.ape(*node(sepolia, deployed, network=network), timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "atlantis" in said
    assert "Traceback" not in said

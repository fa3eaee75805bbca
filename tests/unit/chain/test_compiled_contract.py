# SPDX-License-Identifier: Apache-2.0
"""The compiled contract: by Ape in a checkout, from the package's data where no checkout is."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdfed.chain import abi
from pdfed.chain.chain_errors import NoSources, NotCompiled
from pdfed.chain.contract_sources import build, standard_input


@pytest.fixture
def fresh() -> Iterator[Callable[[], abi.Interface]]:
    """`interface`, which remembers its answer, without that memory."""
    yield lambda: abi.interface.__wrapped__()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if installed from a wheel: no checkout around the package. Returns where its data belongs."""
    monkeypatch.setattr(abi, "ROOT", tmp_path / "site-packages")
    monkeypatch.setattr(abi, "PACKAGED", tmp_path)
    return tmp_path / "PDFed.json"


def test_the_packages_data_is_what_ape_compiles(
    fresh: Callable[[], abi.Interface], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert abi.in_checkout()
    here = fresh()
    monkeypatch.setattr(abi, "PACKAGED", tmp_path)
    runpy.run_path(str(abi.ROOT / "setup" / "compiled.py"), run_name="__main__")
    assert "solc 0.8." in capsys.readouterr().out
    monkeypatch.setattr(abi, "ROOT", tmp_path)
    monkeypatch.setattr(abi, "compile_contract", lambda name: pytest.fail("Ape was asked outside a checkout"))
    assert not abi.in_checkout()
    there = fresh()
    assert (there.creation, there.runtime) == (here.creation, here.runtime)
    assert (there.functions, there.events, there.errors) == (here.functions, here.events, here.errors)


@pytest.mark.parametrize("name", [abi.CONTRACT, abi.USE_CONTRACT])
def test_the_packages_data_is_up_to_date(name: str) -> None:
    packaged = json.loads((abi.PACKAGED / f"{name}.json").read_text(encoding="utf-8"))
    assert packaged == abi.compile_contract(name), "run `make compiled`"


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_package_without_its_data_says_so(fresh: Callable[[], abi.Interface], installed: Path, content: str | None) -> None:
    if content is not None:
        installed.write_text(content)
    with pytest.raises(NotCompiled, match=r"lacks the compiled contract: .*PDFed\.json") as fault:
        fresh()
    assert "setup/compiled.py" in fault.value.remedy


def test_a_checkout_does_not_use_the_packages_data(
    fresh: Callable[[], abi.Interface], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old file would stand for a contract that was changed since."""
    monkeypatch.setattr(abi, "PACKAGED", tmp_path)
    (tmp_path / "PDFed.json").write_text("old")
    assert fresh().functions


def test_the_sources_are_needed_for_verification(tmp_path: Path) -> None:
    for attempt in (lambda: standard_input(tmp_path), lambda: build({}, tmp_path)):
        with pytest.raises(NoSources, match="not part of an installed package") as fault:
            attempt()
        assert "checkout" in fault.value.remedy

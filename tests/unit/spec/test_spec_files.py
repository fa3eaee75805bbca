# SPDX-License-Identifier: Apache-2.0
"""Task and node files: presets are valid, fields override them, every error names its field."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed.spec import PRESETS, SpecError, TaskVersionError, read_node_config, read_task_file, read_task_json, wei


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_task(name: str) -> None:
    given_task = read_task_file(name)
    assert given_task.task.name == name
    assert read_task_json(given_task.task.model_dump_json().encode()) == given_task.task


def test_a_file_overrides_its_preset(tmp_path) -> None:
    file = tmp_path / "task.yaml"
    file.write_text("preset: digits\ntask:\n  sampling: {images: 200}\nterms: {min_stake: 2 ether, quorum: 6700}\n")
    given_task = read_task_file(file)
    assert given_task.task.sampling.images == 200
    assert given_task.task.images.size == 16
    assert given_task.terms.min_stake == 2 * 10**18
    assert given_task.terms.quorum == 6700


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("preset: nonsense", "digits"),
        ("preset: digits\ntask: {sampling: {images: 3}}", "task.sampling.images"),
        ("preset: digits\ntask: {images: {size: 15}}", "images.size (15) must be a multiple of 4"),
        ("preset: digits\nterms: {min_stake: lots}", "terms.min_stake"),
        ("preset: digits\nterms: {min_stake: 1 gwei}", "terms.min_stake"),
        ("preset: digits\nterms: {unbonding: 10}", "unbonding (10) must be at least"),
        ("preset: digits\nterms: {sunset: 5}", "sunset (5) must be 0, or at least"),
        ("preset: digits\nterms: {reveal_window: 21599}", "reveal_window (21599) must be at least commit_window / 4 (21600)"),
        ("preset: digits\nterms: {pace: 63}", "pace (63) must be 0, or at least 64"),
        ("preset: digits\nterms: {electorate: 2147483648}", "terms.electorate"),
        ("preset: digits\nterms: {enrolment: 7776000}", "sunset (7776000) must be 0, or at least enrolment"),
        ("preset: digits\nterms: {jury: 9, commit_window: 60, reveal_window: 60}", "commit_window (60) must be more than 60"),
        (f"preset: digits\nterms: {{commit_window: {2**40}, unbonding: {2**41}}}", "terms.commit_window"),
        (f"preset: digits\nterms: {{sunset: {2**33}}}", "terms.sunset"),
        ("preset: digits\nterms: {sponsor: me}", "terms.sponsor"),
        ("preset: digits\nterms: {sponsor: vitalik.eth}", "'vitalik.eth' is not an address"),
        ("preset: digits\nterms: {sponsor: 0x70997970C51812dc3A010C7d01b50e0d17dc79C8}", "in quotes"),
        ("preset: digits\nterms: {sponsor: '0x70997970c51812dc3A010C7d01b50e0d17dc79C8'}", "is mistyped"),
        ("preset: digits\ncolour: blue", "colour"),
        ("preset: digits\ntask: {images: {size: 18}, network: {channels: [64, 64, 64]}}", "multiple of"),
        ("preset: digits\ngenesis_images: 190", "genesis_images (190) must be at least 4 batches of 64"),
        ("preset: digits\ntask: {training: {clip: .inf}}", "task.training.clip"),
        ("preset: digits\nseed: -1", "seed"),
        ("- a\n- list", "holds no fields"),
        ("a: [unclosed", "not YAML"),
    ],
)
def test_a_bad_task_file_says_where(tmp_path, text: str, words: str) -> None:
    file = tmp_path / "task.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as fault:
        read_task_file(file)
    assert words in str(fault.value)
    assert fault.value.remedy


def test_terms_left_open_or_at_their_bounds_are_read(tmp_path) -> None:
    file = tmp_path / "task.yaml"
    windows = f"commit_window: 1, reveal_window: {2**32 - 2}, unbonding: {2**32 - 1}"
    for sponsor in (None, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"):
        file.write_text(f"preset: digits\nterms: {{{windows}, min_stake: null, sunset: 0, sponsor: {json.dumps(sponsor)}}}")
        assert read_task_file(file).terms.sponsor == sponsor


def test_a_missing_file_names_the_presets() -> None:
    with pytest.raises(SpecError, match="digits"):
        read_task_file("no-such-task.yaml")


def test_a_task_of_another_version_is_refused() -> None:
    with pytest.raises(TaskVersionError, match="version 2"):
        read_task_json(json.dumps({"version": 2, "name": "later"}).encode())


@given(st.binary(max_size=200))
def test_received_bytes_never_give_a_traceback(content: bytes) -> None:
    with pytest.raises(SpecError):
        read_task_json(content)


def numbers(values: dict, *place: str) -> list[tuple[str, ...]]:
    """The paths of all floats in a task."""
    found = [(*place, name) for name, value in values.items() if isinstance(value, float)]
    for name, value in values.items():
        found += numbers(value, *place, name) if isinstance(value, dict) else []
    return found


FLOATS = numbers(read_task_file("digits").task.model_dump())


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
@pytest.mark.parametrize("place", FLOATS, ids=".".join)
def test_a_received_number_that_is_not_finite_is_refused(place: tuple[str, ...], number: str) -> None:
    """fid_scale: Infinity made Q-N nan, and a vote a traceback."""
    task = read_task_file("digits").task.model_dump()
    section, name = place
    task[section][name] = json.loads(number)
    with pytest.raises(SpecError, match=f"{section}.{name}"):
        read_task_json(json.dumps(task).replace(" Infinity", f" {number}").encode())


@pytest.mark.parametrize(("name", "bound"), [("fid_scale", 1e6), ("novelty_weight", 1e6)])
def test_scales_of_the_score_are_bounded(name: str, bound: float) -> None:
    task = read_task_file("digits").task.model_dump()
    for value in (bound, 100_000):  # 100 000 reproduces the paper's Table 1
        task["scoring"][name] = value
        assert getattr(read_task_json(json.dumps(task).encode()).scoring, name) == value
    for value in (bound * 1.01, 1e308, -1, 10**400):
        task["scoring"][name] = value
        with pytest.raises(SpecError, match=f"scoring.{name}"):
            read_task_json(json.dumps(task).encode())


UNPRINTABLE = ("a\x1b[2J", "a\nb", "a\u202e", "a\u2028b", "a\x7f")


@pytest.mark.parametrize("text", UNPRINTABLE)
@pytest.mark.parametrize("field", ["licence", "classes"])
def test_words_that_end_up_in_terminals_and_files_are_printable(field: str, text: str) -> None:
    """Regression: a licence of several lines wrote the head of an exported README, a class's name steered the terminal."""
    task = read_task_file("digits").task.model_dump()
    if field == "licence":
        task["licence"] = text
    else:
        task["images"]["classes"] = ("3", text)
    with pytest.raises(SpecError, match="can't be printed") as fault:
        read_task_json(json.dumps(task).encode())
    assert fault.value.cause.isprintable()


def test_words_of_any_script_name_classes() -> None:
    """Regression: the joiners of Persian and of emoji, and the spaces of Japanese, were called unprintable."""
    names = ("نامه\u200cها", "\U0001f469\u200d\U0001f680", "東京\u3000タワー", "à\u00a0deux")
    task = read_task_file("digits").task.model_dump()
    task["images"]["classes"] = names
    assert read_task_json(json.dumps(task).encode()).images.classes == names


def test_the_name_of_an_unknown_field_is_made_visible() -> None:
    task = read_task_file("digits").task.model_dump() | {"\x1b[2Jevil": 1}
    with pytest.raises(SpecError) as fault:
        read_task_json(json.dumps(task).encode())
    assert r"\x1b[2Jevil" in fault.value.cause and fault.value.cause.isprintable()


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(SpecError):
        read_task_json(b"[" * 900_000)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1ether", 10**18), ("0.1 ether", 10**17), ("5 gwei", 5 * 10**9), ("7", 7), (12, 12), ("2 ETH", 2 * 10**18)],
)
def test_amounts(text: str, amount: int) -> None:
    assert wei(text) == amount


@pytest.mark.parametrize("text", ["", "ether", "-1 ether", "0.0000000000000000001 ether", "nan ether", "1e40 ether", True, 1.5])
def test_senseless_amounts_are_refused(text: object) -> None:
    with pytest.raises(ValueError):
        wei(text)


def test_flags_win_over_the_node_file(tmp_path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("data: ./a\nrole: validator\nstake: 1 ether\n")
    config = read_node_config(file, {"data": "./b"})
    assert (config.data, config.role, config.stake) == ("./b", "validator", 10**18)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_manifest_can_name_is_refused_at_once(seed: int) -> None:
    """Regression: it was found when a model was trained and signed."""
    with pytest.raises(SpecError, match="seed"):
        read_node_config(None, {"data": "./a", "seed": seed})


def test_a_node_without_data_is_told_so() -> None:
    with pytest.raises(SpecError, match="data"):
        read_node_config(None, {})


def test_a_repeated_key_is_refused(tmp_path: Path) -> None:
    """Regression: of two `deny` lists in one file, the first was lost without a word."""
    file = tmp_path / "node.yaml"
    file.write_text("data: digits\ndeny: []\nrole: trainer\ndeny: []\n")
    with pytest.raises(SpecError, match="'deny' stands twice"):
        read_node_config(file, {})

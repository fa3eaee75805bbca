# SPDX-License-Identifier: Apache-2.0
"""Networks: every preset builds at the size it claims, and building one disturbs nothing."""

import pytest
import torch

from pdfed.diffusion import build_network, initial_weights, schema
from pdfed.diffusion.network import network_with
from pdfed.diffusion.schema import PARTS, part_of
from pdfed.spec import PRESETS, TaskSpec, read_task_file


@pytest.mark.parametrize(("preset", "millions"), [("digits", 1.07), ("fashion", 1.08), ("cifar10-ddpm", 35.7)])
def test_presets_have_the_size_they_claim(preset: str, millions: float) -> None:
    shapes = schema(read_task_file(preset).task)
    count = sum(torch.Size(shape).numel() for shape in shapes.values())
    assert count == pytest.approx(millions * 1e6, rel=0.02)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_bundle_of_every_preset_fits_the_tasks_limit(preset: str) -> None:
    task = read_task_file(preset).task
    assert 2 * sum(torch.Size(shape).numel() for shape in schema(task).values()) < task.max_bundle_bytes


def test_a_prediction_has_the_pictures_shape(task: TaskSpec) -> None:
    network = build_network(task)
    x = torch.zeros(3, 1, 8, 8)
    assert network(x, torch.tensor([0, 500, 999]), torch.tensor([0, 1, network.null_label])).shape == x.shape


def test_every_tensor_belongs_to_one_part_and_every_part_has_some(task: TaskSpec) -> None:
    for shapes in (schema(task), schema(read_task_file("cifar10-ddpm").task)):
        assert {part_of(name) for name in shapes} == set(PARTS)


def test_full_exchange_carries_the_whole_network(task: TaskSpec) -> None:
    assert schema(task) == {name: tuple(value.shape) for name, value in build_network(task).state_dict().items()}


def test_initial_weights_depend_on_the_seed_alone(task: TaskSpec) -> None:
    torch.manual_seed(1)
    first = initial_weights(task, 5)
    torch.manual_seed(2)
    again, other = initial_weights(task, 5), initial_weights(task, 6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_making_weights_and_networks_leaves_the_random_state_alone(task: TaskSpec) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    network_with(task, initial_weights(task, 0))
    assert torch.equal(torch.rand(4), expected)


def test_a_network_does_not_share_memory_with_the_weights_it_was_made_from(task: TaskSpec) -> None:
    weights = initial_weights(task, 0)
    before = {name: value.clone() for name, value in weights.items()}
    with torch.no_grad():
        for parameter in network_with(task, weights).parameters():
            parameter.zero_()
    assert all(torch.equal(weights[name], before[name]) for name in weights)

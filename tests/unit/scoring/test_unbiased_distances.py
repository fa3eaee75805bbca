# SPDX-License-Identifier: Apache-2.0
"""KID is the mean over pairs that its formula says, and 0 on average for one distribution; FID∞ takes the bias off FID."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdfed.scoring import BadFeatures, fid_infinity, frechet_distance, kernel_distance


def by_double_loop(x: np.ndarray, y: np.ndarray) -> float:
    """KID, one pair after the other."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    n, m = len(x), len(y)
    own = [sum(k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return sum(own) - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 15),
    m=st.integers(2, 15),
    d=st.integers(1, 20),
    scale=st.sampled_from([0.1, 5.0]),
)
def test_kernel_distance_is_the_mean_over_pairs(seed: int, n: int, m: int, d: int, scale: float) -> None:
    draws = np.random.default_rng(seed)
    x, y = scale * draws.normal(size=(n, d)), scale * draws.normal(size=(m, d)) + 0.3
    largest = (scale**2 * 60 + 1) ** 3  # no kernel value is near this; rounding is relative to the sums
    assert kernel_distance(x, y) == pytest.approx(by_double_loop(x, y), rel=1e-9, abs=1e-12 * largest)
    assert kernel_distance(x, y) == pytest.approx(kernel_distance(y, x), rel=1e-9, abs=1e-12 * largest)


def test_kernel_distance_of_one_distribution_is_0_on_average_at_any_size() -> None:
    """Fixed seed; five standard errors. FID of the same sets is far above 0."""
    features = np.random.default_rng(0).normal(size=(400, 16)) @ np.random.default_rng(1).normal(size=(16, 16)) / 4 + 0.5
    draws = np.random.default_rng(2)
    for n, m in ((10, 20), (30, 10), (200, 200)):
        orders = [draws.permutation(400)[: n + m] for _ in range(400)]
        found = [kernel_distance(features[order[:n]], features[order[n:]]) for order in orders]
        assert abs(np.mean(found)) < 5 * np.std(found, ddof=1) / np.sqrt(len(found))
        assert min(found) < 0 < max(found)
        assert frechet_distance(features[:n], features[n : n + m]) > 5 * np.std(found)


def test_kernel_distance_keeps_small_differences_of_unit_norm_features() -> None:
    """As with fingerprints: aᵀb / d is at most 1/256, and k almost 1. To first order: 3 |difference of means|² / d."""
    draws = np.random.default_rng(3)
    x, y = draws.normal(size=(500, 256)), draws.normal(size=(500, 256))
    y[:, 0] += 3
    x, y = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, y))
    gram = [part @ part.T for part in (x, y)]
    linear = sum((part.sum() - 500) / (500 * 499) for part in gram) - 2 * x.mean(axis=0) @ y.mean(axis=0)
    assert kernel_distance(x, y) == pytest.approx(3 * linear / 256, rel=0.02) and linear > 0.02


def test_kernel_distance_does_not_depend_on_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(4).normal(size=(2, 70, 8))
    whole = kernel_distance(x, y)
    monkeypatch.setattr("pdfed.scoring.metrics.kernel_distance.PIECE", 300)
    assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-9)


def test_fid_infinity_is_nearer_to_the_distance_of_the_distributions() -> None:
    """Two Gaussians whose distance is known: 8 · 0.3² of the means, 8 · 0.2² of the deviations. Fixed seed."""
    draws = np.random.default_rng(5)
    true = 8 * 0.3**2 + 8 * 0.2**2
    biased, extrapolated, real_alone = [], [], []
    for seed in range(10):
        real, generated = draws.normal(size=(300, 8)), 1.2 * draws.normal(size=(300, 8)) + 0.3
        biased.append(frechet_distance(real, generated))
        real_alone.append(fid_infinity(real, generated, seed=seed))
        extrapolated.append(fid_infinity(real, generated, both=True, seed=seed))
    error = np.std(extrapolated) / np.sqrt(10)
    assert abs(np.mean(extrapolated) - true) < 3 * error
    assert np.mean(biased) > np.mean(real_alone) > np.mean(extrapolated)


def test_fid_infinity_follows_its_seed_and_needs_20_samples() -> None:
    real, generated = np.random.default_rng(6).normal(size=(2, 60, 4))
    assert fid_infinity(real, generated, seed=1) == fid_infinity(real, generated, seed=1)
    assert fid_infinity(real, generated, seed=1) != fid_infinity(real, generated, seed=2)
    assert np.isfinite(fid_infinity(real[:2], generated[:20])) and np.isfinite(fid_infinity(real[:20], generated[:20], both=True))
    with pytest.raises(BadFeatures, match="at least 20"):
        fid_infinity(real, generated[:19])

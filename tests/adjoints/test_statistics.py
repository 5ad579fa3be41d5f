"""Statistics of correlated series: pymbar's numbers, and closed forms of an autoregressive series."""

from __future__ import annotations

import numpy as np
import pytest
from pymbar import timeseries

from diffmd.adjoints.reweight.statistics import halves_apart, independent, inefficiency, mean_error


def autoregressive(points: int, phi: float, columns: int, seed: int = 0) -> np.ndarray:
    """x_{t+1} = phi x_t + noise, of variance 1 and mean 0, each column from its stationary distribution."""
    rng = np.random.default_rng(seed)
    x = np.empty((points, columns))
    x[0] = rng.normal(size=columns)
    noise = rng.normal(size=(points, columns)) * np.sqrt(1 - phi**2)
    for t in range(1, points):
        x[t] = phi * x[t - 1] + noise[t]
    return x


@pytest.mark.parametrize(("points", "phi"), [(2000, 0.9), (300, 0.5), (50, 0.0), (7, 0.8), (400, -0.7)])
def test_it_is_what_pymbar_gives(points: int, phi: float):
    x = autoregressive(points, phi, 6)
    expected = [timeseries.statistical_inefficiency(column) for column in x.T]
    np.testing.assert_allclose(inefficiency(x), expected, rtol=1e-9)
    np.testing.assert_allclose(independent(x), points / np.array(expected), rtol=1e-9)


def test_the_closed_form_of_an_autoregressive_series():
    # C_t = phi^t, so g = (1 + phi) / (1 - phi).
    for phi in (0.0, 0.5, 0.9):
        g = inefficiency(autoregressive(20_000, phi, 20))
        assert np.mean(g) == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


def test_what_does_not_fluctuate_or_is_tiny_or_huge():
    assert inefficiency(np.ones((9, 2))).tolist() == [1, 1]
    assert mean_error(np.zeros(5)) == 0
    assert halves_apart(np.zeros(6)) == 0
    x = autoregressive(200, 0.5, 1)
    for factor in (1e-200, 1e200):
        np.testing.assert_allclose(inefficiency(factor * x), inefficiency(x), rtol=1e-9)
    for points in (1, 2, 3):
        assert np.isfinite(mean_error(x[:points])).all()


@pytest.mark.parametrize(("points", "phi"), [(60, 0.0), (200, 0.5), (500, 0.8), (2000, 0.9)])
def test_means_are_within_their_errors(points: int, phi: float):
    x = autoregressive(points, phi, 1000)
    assert np.var(x.mean(axis=0) / mean_error(x)) == pytest.approx(1, abs=0.25)
    # Squares forget themselves twice as fast, and are skewed.
    assert np.var((x**2 - 1).mean(axis=0) / mean_error(x**2)) == pytest.approx(1, abs=0.35)


def test_halves_of_a_drifting_series_are_apart():
    x = autoregressive(1000, 0.8, 200)
    assert np.mean([halves_apart(column) > 3 for column in x.T]) < 0.03
    drifting = x + np.exp(-np.arange(1000) / 100)[:, None] * 5
    assert np.mean([halves_apart(column) > 3 for column in drifting.T]) > 0.9

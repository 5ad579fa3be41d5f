"""Statistics of correlated series: how many of their points are independent, and what their mean is worth.

Of a stationary series x_1 ... x_n with the autocorrelation C_t the mean has the variance sigma^2 g / n, where

    g = 1 + 2 sum_t (1 - t / n) C_t

is the statistical inefficiency: so many points say as much as one that is independent of all others. The sum ends where
C_t first falls to zero or below, since beyond it there is noise alone; the first three lags always count. Source:
J. D. Chodera, W. C. Swope, J. W. Pitera, C. Seok and K. A. Dill, J. Chem. Theory Comput. 3, 26 (2007),
doi:10.1021/ct0502864.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_LEAST_LAGS = 3
_TOGETHER = 1 << 20
"""Numbers whose autocorrelation is taken at once."""
_FEWEST = 4.0
"""Independent points that a series is taken to have at least: with fewer nothing can be said of its mean."""


def inefficiency(series: Float[np.ndarray, "points *shape"]) -> Float[np.ndarray, "*shape"]:
    """g of each column, from 1 up; 1 of one that does not fluctuate."""
    points, shape = len(series), series.shape[1:]
    columns = np.asarray(series, float).reshape(points, -1)
    width = max(1, _TOGETHER // points)
    parts = [_inefficiency(columns[:, start : start + width]) for start in range(0, columns.shape[1], width)]
    return np.concatenate([np.zeros(0), *parts]).reshape(shape)


def _inefficiency(columns: Float[np.ndarray, "points columns"]) -> Float[np.ndarray, "columns"]:
    points = len(columns)
    away = columns - columns.mean(axis=0)
    # Scaled, so that no square is too small or too large a number.
    largest = np.abs(away).max(axis=0)
    away = away / np.where(largest > 0, largest, 1)
    power = np.abs(np.fft.rfft(away, 2 * points, axis=0)) ** 2
    lags = np.arange(1, max(points - 1, 1))
    products = np.fft.irfft(power, axis=0)
    variance = products[0] / points
    fluctuates = (largest > 0) & (variance > 0)
    correlation = products[lags] / (points - lags)[:, None] / np.where(fluctuates, variance, 1)
    counted = np.logical_and.accumulate((correlation > 0) | (lags <= _LEAST_LAGS)[:, None], axis=0)
    g = 1 + 2 * np.sum(np.where(counted, correlation * (1 - lags / points)[:, None], 0), axis=0)
    return np.where(fluctuates, np.maximum(g, 1), 1.0)


def independent(series: Float[np.ndarray, "points *shape"]) -> Float[np.ndarray, "*shape"]:
    """n / g of each column."""
    return np.asarray(len(series) / inefficiency(series))


def mean_error(series: Float[np.ndarray, "points *shape"]) -> Float[np.ndarray, "*shape"]:
    """Standard error of the mean of each column.

    With m = n / g independent points and the mean square s^2 of the fluctuations it is s / sqrt(m - 3): m - 1 in place
    of m, since the mean that they are about is of the same points, and (m - 1) / (m - 3) times that, the variance of
    Student's t, since s and g are of few points themselves. So the deviation from the true mean, divided by this
    error, has the variance 1.
    """
    count = np.maximum(independent(series), _FEWEST)
    return np.asarray(series.std(axis=0) / np.sqrt(count - 3))


def halves_apart(series: Float[np.ndarray, "points"]) -> float:
    """By how many of its standard errors the means of a series' two halves differ; 0 where nothing fluctuates.

    The error is that of the second half, times the root of two: what has not been forgotten in the first half makes
    that one fluctuate more than it will, and would hide itself.
    """
    first, second = np.array_split(series, 2)
    error = float(np.sqrt(2) * mean_error(second))
    return abs(float(first.mean() - second.mean())) / error if error > 0 else 0.0

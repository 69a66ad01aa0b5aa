"""The kernels of filtered difference equations against SciPy's filter, and what they refuse."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import lfilter

from smoothfit._core import _kernels

N = 300


def runs_of(order):
    """One shorter than any order above one, one empty, one that fills a block of 64 rows, one that fills several."""
    return np.array([0, 40, 41, 41, 105 + order, N])


def make_series(order, n_inputs, seed):
    rng = np.random.default_rng(seed)
    a = np.poly(rng.uniform(-0.9, 0.9, order))[1:]
    return rng.standard_normal(N), rng.standard_normal((N, n_inputs)), a


def columns_of(y, u, a, first_lag, intercept):
    """Columns (n - m, C + m) of one run, by the definition."""
    m, n = len(a), len(y)

    def filtered(values):
        return lfilter([1.0], np.concatenate([[1.0], a]), values) if n else values

    x, w, impulse = filtered(y), [filtered(column) for column in u.T], filtered(np.arange(n) == 0)
    rows = range(m, n)
    columns = [[x[k - j] for k in rows] for j in range(1, m + 1)]
    columns += [[v[k - lag] for k in rows] for v in w for lag in range(first_lag, m + 1)]
    columns += [list(filtered(np.ones(n))[m:])] if intercept else []
    columns.append(list(x[m:]))
    columns += [[impulse[k - m - p] if k >= m + p else 0.0 for k in rows] for p in range(m)]
    return np.array(columns).T


@pytest.mark.parametrize(
    ("order", "n_inputs", "first_lag", "intercept"),
    [(1, 0, 1, False), (1, 0, 1, True), (1, 3, 0, True), (2, 1, 1, False), (2, 2, 0, True), (3, 1, 0, True), (3, 1, 1, False)],
)
def test_moments_are_sums_of_products(order, n_inputs, first_lag, intercept):
    y, u, a = make_series(order, n_inputs, 1)
    n_columns = order + n_inputs * (order + 1 - first_lag) + intercept + 1
    inverse = np.triu(np.random.default_rng(2).uniform(0.5, 2, (n_columns, n_columns)))
    moments = _kernels.filtered_moments(y, u, runs_of(order), a, first_lag, intercept, inverse)
    whole = np.eye(n_columns + order)
    whole[:n_columns, :n_columns] = inverse
    for run, (low, high) in enumerate(pairwise(runs_of(order))):
        columns = columns_of(y[low:high], u[low:high], a, first_lag, intercept) @ whole
        expected = columns.T @ columns
        np.testing.assert_allclose(np.tril(moments[run]), np.tril(expected), rtol=1e-11, atol=1e-11 * np.abs(expected).max())


def test_a_response_that_has_decayed_is_left_out_without_loss():
    y, u, _ = make_series(1, 1, 3)
    a = np.array([0.01])
    moments = _kernels.filtered_moments(y, u, np.array([0, N]), a, 1, False, np.eye(3))
    columns = columns_of(y, u, a, 1, False)
    np.testing.assert_allclose(np.tril(moments[0]), np.tril(columns.T @ columns), rtol=1e-13)


@pytest.mark.parametrize("order", range(1, 7))
@pytest.mark.parametrize(("n_inputs", "first_lag", "intercept"), [(0, 1, False), (2, 0, True)])
def test_what_is_left_is_filtered(order, n_inputs, first_lag, intercept):
    y, u, a = make_series(order, n_inputs, 4)
    psi = np.random.default_rng(5).standard_normal(order + n_inputs * (order + 1 - first_lag) + intercept)
    left = _kernels.filtered_residual(y, u, runs_of(order), a, first_lag, intercept, psi)
    for low, high in pairwise(runs_of(order)):
        rows = range(low + order, high)
        lagged = [[*y[k - order : k][::-1], *(v for c in u.T for v in c[k - order : k + 1 - first_lag][::-1])] for k in rows]
        lagged = np.array(lagged).reshape(len(rows), len(psi) - intercept)
        if intercept:
            lagged = np.hstack([lagged, np.ones((len(rows), 1))])
        expected = lfilter([1.0], np.concatenate([[1.0], a]), y[low + order : high] - lagged @ psi) if len(rows) else []
        np.testing.assert_allclose(left[low + order : high], expected, rtol=1e-11, atol=1e-11)
        assert np.isnan(left[low : min(low + order, high)]).all()


def broken(**changes):
    arguments = {"y": np.ones(9), "u": np.ones((9, 1)), "start": np.array([0, 9]), "a": np.array([0.5]), "lag": 1, "one": False}
    return {**arguments, **changes}.values()


@pytest.mark.parametrize(
    "changes",
    [
        {"u": np.ones((8, 1))},
        {"u": np.ones((9, 11))},
        {"u": np.ones(9)},
        {"a": np.ones(7)},
        {"a": np.empty(0)},
        {"lag": 2},
        {"lag": -1},
        {"start": np.array([0])},
        {"start": np.array([0, 8])},
        {"start": np.array([1, 9])},
        {"start": np.array([0, 7, 4, 9])},
        {"start": np.array([0, 12, 9])},
        {"one": True},
    ],
)
def test_sizes_are_checked(changes):
    for call in (
        lambda: _kernels.filtered_moments(*broken(**changes), np.eye(3)),
        lambda: _kernels.filtered_residual(*broken(**changes), np.ones(2)),
    ):
        with pytest.raises(ValueError, match=r"^(u|a|first_lag|start|inverse|psi) "):
            call()


def test_moments_have_up_to_ten_columns_of_order_three():
    with pytest.raises(ValueError, match="orders 1 to 3"):
        _kernels.filtered_moments(*broken(a=np.ones(4)), np.eye(9))
    with pytest.raises(ValueError, match="2 to 10 columns"):
        _kernels.filtered_moments(*broken(u=np.ones((9, 9)), one=True), np.eye(12))

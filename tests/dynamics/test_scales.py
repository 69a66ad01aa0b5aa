"""Sizes of t, y, u and SDs: powers of two change nothing within limits; beyond them the argument is named, at once."""

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import DataError

T = np.linspace(0, 4, 30)
Y = np.exp(-T) + 0.01 * np.cos(37 * T)


@pytest.mark.parametrize("size", [1e-300, 1e-60, 1e60, 1e300])
@pytest.mark.parametrize("order", [1, 3])
def test_extreme_times_are_named(size, order):
    with pytest.raises(DataError, match=r"^t has neighbours .* another unit"):
        sf.DerivativeRegression(Y, T * size, order=order)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_extreme_columns_are_named(size):
    with pytest.raises(DataError, match=r"^y is at most .* another unit"):
        sf.DerivativeRegression(Y * size, T)
    with pytest.raises(DataError, match=r"^u is at most .* another unit"):
        sf.DerivativeRegression(Y, T, np.cos(T) * size)
    with pytest.raises(DataError, match=r"^the sd of f is that of a variance of "):
        sf.DerivativeRegression(sf.observe(T, Y, sd=size))


def test_the_limits_narrow_with_the_order():
    sf.DerivativeRegression(Y, T * 1e-45)
    with pytest.raises(DataError, match="order 2"):
        sf.DerivativeRegression(Y, T * 1e-45, order=2)


@pytest.mark.parametrize("k", [-30, 60])
def test_units_within_the_limits_are_the_readers(k):
    """y' = a y: a is per unit of t, and does not know that of y."""
    reference = sf.DerivativeRegression(Y, T, intercept=False).fit("integral").params["y"]
    res = sf.DerivativeRegression(Y * 2.0**-k, T * 2.0**k, intercept=False).fit("integral")
    np.testing.assert_allclose(res.params["y"] * 2.0**k, reference, rtol=1e-9)


def test_terms_may_be_infinite_where_a_search_tries_them():
    """log(0) and 1/0 within np.where are the user's own business, in any error state of the caller."""
    term = {"y log y": lambda y, t: np.where(y[0] > 0, y[0] * np.log(y[0]), 1 / np.zeros_like(y[0]) * 0 + 0)}
    safe = {"y log y": lambda y, t: np.where(y[0] > 0, y[0] * np.log(np.abs(y[0]) + (y[0] == 0)), np.nan)}
    reference = sf.DerivativeRegression(Y, T, terms=safe, intercept=False).fit("difference")
    with np.errstate(all="raise"):
        res = sf.DerivativeRegression(Y, T, terms=term, intercept=False).fit("difference")
    np.testing.assert_array_equal(res.params, reference.params)


def test_inputs_of_formulas_run_in_the_error_state_of_the_caller():
    frame = {"t": T, "y": Y, "u": np.r_[0.0, T[1:]]}
    with np.errstate(divide="ignore"), pytest.raises(DataError, match="-inf"):  # a warning would be an error here
        sf.DerivativeRegression.from_formula("D(y) ~ y + np.log(u)", pd.DataFrame(frame), t="t")


def test_weights_of_penalties_run_in_the_error_state_of_the_caller():
    basis = sf.BSplineBasis.uniform(0, 1, 4)
    penalty = sf.DifferentialOperatorPenalty([0, 0, lambda x: np.where(x > 0.5, 1 / np.maximum(np.floor(2 * x), 0), 1.0)])
    x = np.linspace(0, 1, 20)
    with np.errstate(divide="ignore"):
        res = sf.SplineRegression(sf.observe(x, np.sin(6 * x)), basis, penalty).fit(lam=1e-3)
    assert np.isfinite(res.predict(0.3))

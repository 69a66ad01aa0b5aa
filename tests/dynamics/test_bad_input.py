"""Samples that methods cannot fit: each says so, and none returns NaN or a guess."""

import warnings

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.methods import METHODS
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import DataError, IdentificationError, SamplingWarning, SmoothfitError, SmoothfitWarning, SpecificationError

from .conftest import solution

REGULAR = ("arx", "armax", "integral", "weak", "fourier", "whittle", "iv")
ALL = tuple(METHODS)


def fitted(model, method):
    """Results and the warnings' words, or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SmoothfitWarning)
        try:
            res = model.fit(method)
        except SmoothfitError as error:
            return None, [str(error)]
    return res, [str(w.message) for w in caught if issubclass(w.category, SmoothfitWarning)]


def assert_known(res):
    assert np.isfinite(res.coefficients).all()
    assert np.isfinite(res.bse.iloc[: len(res.coefficients)]).all()


@pytest.mark.parametrize("method", [m for m in ALL if m != "arimax"])
def test_readings_that_alternate_have_no_equation(method):
    """phi <= 0: no real equation of order one has such samples."""
    rng = np.random.default_rng(0)
    t = np.arange(200) * 0.1
    e = rng.standard_normal(200)
    y = np.zeros(200)
    for k in range(1, 200):
        y[k] = -0.7 * y[k - 1] + e[k]
    res, said = fitted(sf.DerivativeRegression(y, t, rng.standard_normal(200)), method)
    if res is not None:
        assert_known(res)
        fast = (-res.poles().real * 0.1 > 2).any()  # no memory from one sample to the next: said, or not found
        assert said or not fast
    else:
        assert said[0]


def test_phi_below_zero_is_said():
    t = np.arange(100) * 0.1
    y = (-0.9) ** np.arange(100) + 0.01 * np.random.default_rng(0).standard_normal(100)
    with pytest.raises(IdentificationError, match=r"phi <= 0.*kalman"):
        sf.DerivativeRegression(y, t).fit("arx")


@pytest.mark.parametrize("method", ["kalman", "output_error", "arx", "integral", "weak"])
def test_poles_at_the_sampling_limit_are_flagged(method):
    t = np.arange(300) * 0.1
    equation = Equation(2, ("y",), (0, 1))
    omega = 0.97 * np.pi / 0.1
    y = response.simulate(equation, np.array([-(omega**2), -0.2, 0.0]), t, np.zeros((300, 0)), np.array([1.0, 0.0]))[:, 0]
    y = y + 1e-3 * np.random.default_rng(0).standard_normal(300)
    res, said = fitted(sf.DerivativeRegression(y, t, order=2), method)
    if res is None:
        assert said[0]
        return
    assert_known(res)
    limit = np.abs(res.poles().imag).max() * 0.1 > 0.95 * np.pi
    assert any("limit" in words for words in said) == limit


@pytest.mark.parametrize("method", ["kalman", "output_error", "arx", "integral"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_growth_is_flagged(method):
    t = np.arange(60) * 0.1
    y = 0.1 * np.exp(t) + 1e-3 * np.random.default_rng(0).standard_normal(60)
    with pytest.warns(SamplingWarning, match=r"unstable: a pole at (0\.99|1\b|1\.00)"):
        res = sf.DerivativeRegression(y, t, intercept=False).fit(method)
    assert res.params["y"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", REGULAR)
def test_irregular_times_are_refused_by_methods_that_need_regular_ones(method):
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 10, 100))
    with pytest.raises(SpecificationError, match=f'method="{method}" needs regular times; use method="(kalman|output_error)"'):
        sf.DerivativeRegression(np.cos(t), t, rng.standard_normal(100)).fit(method)


def test_differences_beyond_order_one_need_regular_times():
    t = np.sort(np.random.default_rng(0).uniform(0, 10, 100))
    with pytest.raises(SpecificationError, match=r'regular times beyond.*use method="kalman"'):
        sf.DerivativeRegression(np.cos(t), t, order=2).fit("difference")


@pytest.mark.parametrize("method", [m for m in ALL if m != "arimax"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_fewer_rows_than_parameters_are_refused(method, n):
    t = np.arange(n) * 1.0
    with pytest.raises((DataError, IdentificationError), match=r"too few|too short|do not fix"):
        sf.DerivativeRegression(np.sin(t + 1), t, np.cos(3 * t)).fit(method)


def test_fewer_rows_than_parameters_of_differences_are_refused():
    t = np.arange(4.0)
    with pytest.raises((DataError, IdentificationError), match=r"too few|too short|longer than"):
        sf.DerivativeRegression(np.sin(t), t, np.cos(t), order=2, derivatives=(1,)).fit("arimax")


def test_times_repeated_within_a_group_are_named():
    t = np.array([0.0, 1, 2, 3, 0, 1, 1, 3])
    with pytest.raises(DataError, match=r"t\[6\] repeats t\[5\] = 1 in group 'b'; average the rows, or tell runs apart by groups="):
        sf.DerivativeRegression(np.arange(8.0), t, groups=list("aaaabbbb"))
    sf.DerivativeRegression(np.arange(8.0) ** 2, np.tile(np.arange(4.0), 2), groups=list("aaaabbbb"))


@pytest.mark.parametrize(
    ("u", "words"),
    [
        ({"flow": np.ones(50), "heat": np.arange(50.0)}, "'flow' is constant"),
        ({"flow": np.arange(50.0), "heat": 3 - 2 * np.arange(50.0)}, "'heat' is a linear combination of those before it"),
        ({"flow": np.zeros(50), "heat": np.arange(50.0)}, "'flow' is zero throughout"),
    ],
)
def test_inputs_that_tell_nothing_are_named(u, words):
    t = np.arange(50) * 0.1
    with pytest.raises(IdentificationError, match=words):
        sf.DerivativeRegression(np.sin(t), t, pd.DataFrame(u))


@pytest.mark.parametrize("kind", ["datetime64", "pandas", "strings"])
def test_datetimes_are_accepted(kind):
    rng = np.random.default_rng(0)
    y = np.exp(-np.arange(60) / 20) + 0.01 * rng.standard_normal(60)
    when = np.datetime64("2026-01-01T00:00") + np.arange(60) * np.timedelta64(1, "m")
    plain = sf.DerivativeRegression(y, np.arange(60.0)).fit("output_error")
    given = {"datetime64": when, "pandas": pd.Series(when, name="when"), "strings": when.astype(str).tolist()}[kind]
    if kind == "strings":
        with pytest.raises(DataError):
            sf.DerivativeRegression(y, given)
        return
    res = sf.DerivativeRegression(y, given).fit("output_error")
    np.testing.assert_allclose(res.params, plain.params, rtol=1e-9)
    assert "per min" in str(res.summary())
    np.testing.assert_allclose(res.forecast(when[-1:] + np.timedelta64(5, "m"))["mean"], plain.forecast([64.0])["mean"], rtol=1e-9)


@pytest.mark.parametrize("seed", [6, 15, 24, 69])
def test_output_error_takes_no_solution_that_leaves_all_numbers(seed):
    """Few readings of a driven decay: a pole of 500 once won, by overflow alone."""
    rng = np.random.default_rng(seed)
    t, u = np.arange(80) * 0.1, np.repeat(rng.standard_normal(8), 10)
    y = solution([-0.5, 1.0, 0.0], t, u, rng=rng)[:, 0] + 0.1 * rng.standard_normal(80)
    res = sf.DerivativeRegression(y[:60], t[:60], u[:60]).fit("output_error")
    low, high = res.conf_int(alpha=0.001).loc["y"]
    assert low < -0.5 < high

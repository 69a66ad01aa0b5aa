"""Samples that methods cannot fit: each says so, and none returns NaN or a guess."""

import warnings

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.methods import METHODS
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import (
    BiasWarning,
    DataError,
    IdentificationError,
    NumericalError,
    SamplingWarning,
    SmoothfitError,
    SmoothfitWarning,
    SpecificationError,
)

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
    t = np.arange(120) * 0.1
    equation = Equation(2, ("y",), (0, 1))
    omega = 0.97 * np.pi / 0.1
    y = response.simulate(equation, np.array([-(omega**2), -0.2, 0.0]), t, np.zeros((120, 0)), np.array([1.0, 0.0]))[:, 0]
    y = y + 1e-3 * np.random.default_rng(0).standard_normal(120)
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
    words = f'method="{method}" needs regular times, and these are off by up to .* of a step; use method="(kalman|output_error)"'
    with pytest.raises(SpecificationError, match=words):
        sf.DerivativeRegression(np.cos(t), t, rng.standard_normal(100)).fit(method)


def test_runs_of_different_spacing_are_said_to_be_so():
    t = np.concatenate([np.arange(50) * 0.1, np.arange(50) * 0.2])
    model = sf.DerivativeRegression(np.exp(-t), t, groups=np.repeat([0, 1], 50), intercept=False)
    with pytest.raises(SpecificationError, match="needs regular times, and runs differ in their spacing"):
        model.fit("arx")
    assert model.fit().params["y"] == pytest.approx(-1, rel=1e-8)


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
    words = (
        r"t\[6\] repeats t\[5\] = 1 in group 'b' with another value of the input 'u'; average the rows, or give runs different gr"
    )
    with pytest.raises(DataError, match=words):  # equal rows are replicates
        sf.DerivativeRegression(np.arange(8.0), t, np.arange(8.0) ** 2, groups=list("aaaabbbb"))
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
    """Few observations of a driven decay: a pole of 500 once won, by overflow alone."""
    rng = np.random.default_rng(seed)
    t, u = np.arange(80) * 0.1, np.repeat(rng.standard_normal(8), 10)
    y = solution([-0.5, 1.0, 0.0], t, u, rng=rng)[:, 0] + 0.1 * rng.standard_normal(80)
    res = sf.DerivativeRegression(y[:60], t[:60], u[:60]).fit("output_error")
    low, high = res.conf_int(alpha=0.001).loc["y"]
    assert low < -0.5 < high


@pytest.mark.parametrize("method", [m for m in ALL if m != "arimax"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_levels_of_readings_and_inputs_do_not_matter(method):
    rng = np.random.default_rng(3)
    t = np.arange(200) * 0.05
    u = np.repeat(rng.choice([-1.0, 1.0], 20), 10)
    y = solution([-1.0, 2.0, 0.5], t, u, q=0.09, rng=rng)[:, 0] + 0.1 * rng.standard_normal(200)
    plain = sf.DerivativeRegression(y, t, u).fit(method, cov_type="HAC" if method == "arx" else None)
    for level_y, level_u in ((0.0, 1e6), (1e3, 0.0), (1e6, -1e5)):
        far = sf.DerivativeRegression(y + level_y, t, u + level_u).fit(method, cov_type="HAC" if method == "arx" else None)
        same = ["y", "u"]
        # Observations keep 1e-16 of the level: 1e-10 / 0.1 of their noise, and searches end within 1e-5 of a standard error.
        np.testing.assert_allclose(far.params[same], plain.params[same], atol=1e-5 * plain.bse["y"])
        np.testing.assert_allclose(far.bse[same], plain.bse[same], rtol=2e-5)
        const = far.params["const"] + far.params["y"] * level_y + far.params["u"] * level_u
        assert const == pytest.approx(plain.params["const"], abs=1e-5 * plain.bse["const"] + 1e-10 * (abs(level_u) + abs(level_y)))
        back = np.array([level_y, level_u, 1.0])  # the covariance of the constant at that level
        cov = far.cov_params().iloc[:3, :3].to_numpy()
        lost = 1e-14 * (level_y**2 + level_u**2)  # of it, where variances times squared levels cancel
        assert back @ cov @ back == pytest.approx(plain.bse["const"] ** 2, rel=1e-4 + lost)
        assert far.diagnostics.get("noise SD (lags)", 0.1) == pytest.approx(plain.diagnostics.get("noise SD (lags)", 0.1), rel=1e-6)


def test_levels_of_a_coupled_system_do_not_matter():
    rng = np.random.default_rng(4)
    t = np.arange(300) * 0.1
    u = np.repeat(rng.choice([-1.0, 1.0], 30), 10)
    x = np.zeros((300, 2))
    A = np.array([[-1.0, 0.4], [0.2, -0.5]])
    for k in range(299):
        x[k + 1] = x[k] + 0.1 * (A @ x[k] + np.array([1.0, 0.0]) * u[k])
    y = x + 0.05 * rng.standard_normal((300, 2))
    plain = sf.DerivativeRegression(y, t, u).fit("output_error")
    far = sf.DerivativeRegression(y + np.array([5e3, -2e4]), t, u + 1e4).fit("output_error")
    kept = [name for name in plain.model.equation.names if "const" not in name]
    np.testing.assert_allclose(far.params[kept], plain.params[kept], atol=1e-4 * plain.bse[kept].min())
    np.testing.assert_allclose(far.bse[kept], plain.bse[kept], rtol=1e-4)
    np.testing.assert_allclose(far.fittedvalues - np.array([5e3, -2e4]), plain.fittedvalues, atol=1e-6)


def test_times_in_seconds_since_1970_are_regular():
    rng = np.random.default_rng(5)
    t = np.arange(200) * 0.05
    u = np.repeat(rng.choice([-1.0, 1.0], 20), 10)
    y = solution([-1.0, 2.0, 0.5], t, u)[:, 0] + 0.01 * rng.standard_normal(200)
    late = sf.DerivativeRegression(y, t + 1.7e9, u)
    assert late.sample.step == pytest.approx(0.05, rel=1e-7)
    found, plain = late.fit("integral"), sf.DerivativeRegression(y, t, u).fit("integral")
    np.testing.assert_allclose(found.params, plain.params, rtol=1e-6)


@pytest.mark.parametrize("method", ["difference", "arx"])
def test_missing_readings_do_not_hide_noise_of_the_readings(method):
    rng = np.random.default_rng(6)
    t = np.arange(600) * 0.05
    u = np.repeat(rng.choice([-1.0, 1.0], 60), 10)
    y = solution([-1.0, 2.0, 0.5], t, u)[:, 0] + 0.1 * rng.standard_normal(600)
    y[rng.random(600) < 0.1] = np.nan
    with pytest.warns(BiasWarning, match="kalman"):
        res = sf.DerivativeRegression(y, t, u).fit(method)
    assert res.diagnostics["noise SD (lags)"] == pytest.approx(0.1, rel=0.25)


def test_a_held_input_that_changes_in_the_last_row_tells_nothing():
    t = np.arange(50) * 0.1
    u = np.ones(50)
    u[-1] = 2.0
    with pytest.raises(IdentificationError, match=r"the input 'u' is constant \(1\)"):
        sf.DerivativeRegression(np.exp(-t), t, u)
    assert sf.DerivativeRegression(np.exp(-t), t, u, intersample="foh").equation.inputs == ("u",)


@pytest.mark.parametrize("method", [m for m in ALL if m not in ("arimax", "armax")])
def test_readings_that_alternate_are_refused_or_flagged(method):
    rng = np.random.default_rng(7)
    t = np.arange(200) * 0.05
    refused = ""
    y = np.where(np.arange(200) % 2, -1.0, 1.0) * 0.98 ** np.arange(200) + 0.01 * rng.standard_normal(200)
    u = np.repeat(rng.choice([-1.0, 1.0], 20), 10)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            res = sf.DerivativeRegression(y, t, u).fit(method)
        except SmoothfitError as error:
            refused = str(error)
    if not refused:
        assert any(issubclass(each.category, SmoothfitWarning) for each in heard)
        assert np.isfinite(res.bse.iloc[:3]).all()


def test_levels_are_found_where_every_other_reading_is_missing():
    rng = np.random.default_rng(8)
    t = np.arange(20_000) * 0.05
    u = np.repeat(rng.choice([-1.0, 1.0], 2000), 10)
    y = solution([-1.0, 2.0, 0.5], t, u, q=0.09, rng=rng)[:, 0] + 0.1 * rng.standard_normal(20_000)
    y[::2] = np.nan
    near, far = sf.DerivativeRegression(y, t, u).fit(), sf.DerivativeRegression(y + 1e6, t, u).fit()
    np.testing.assert_allclose(far.params[["y", "u"]], near.params[["y", "u"]], atol=1e-4 * near.bse["y"])


@pytest.mark.parametrize("name", ["q", "sigma"])
def test_regressors_are_not_called_like_noises(name):
    t = np.arange(50) * 0.1
    with pytest.raises(SpecificationError, match=f"a regressor is called '{name}', which is the name of a noise"):
        sf.DerivativeRegression(np.exp(-t), t, pd.Series(np.cos(t), name=name))


def test_slopes_that_are_differences_of_exact_values_are_named_with_the_way_out():
    t = np.arange(0, 10, 0.1)
    y = np.exp(-t) * np.cos(t)
    obs = sf.observe(t, y, name="y") + sf.observe(t, np.gradient(y, t), 1, name="v")
    with pytest.raises(NumericalError, match="or leave out observations that are computed"):
        sf.DerivativeRegression(obs, order=2).fit()

"""One vocabulary: names, arguments and tests that every class of results has; a new one joins FITS."""

import inspect
import pickle
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.iolib.summary import Summary

import smoothfit as sf
from smoothfit.dynamics import likelihood
from smoothfit.errors import AbsentError, DataError, SpecificationError
from smoothfit.results import CurvePrediction, Estimate, EstimatesOnly, Results

NAMES = """params bse tvalues pvalues conf_int cov_params t_test wald_test f_test llf aic bic nobs df_model df_resid edf scale
    sigma fittedvalues resid loo_resid get_prediction predict sample integrate plot plot_diagnostics summary save load
    remove_data"""
VOCABULARY = NAMES.split()
RNG = np.random.default_rng(3)
X = np.linspace(0, 5, 60)
Y = np.sin(X) + 0.1 * RNG.standard_normal(60)
CURVE = sf.observe(X, Y) + sf.observe(X[::3], np.cos(X[::3]) + 0.2 * RNG.standard_normal(20), deriv=1)
BASIS = sf.BSplineBasis.uniform(0, 5, 8)
POINTS = RNG.uniform(0, 2, (70, 2))
HEIGHT = sf.observe(POINTS, np.sin(POINTS[:, 0]) * POINTS[:, 1] + 0.05 * RNG.standard_normal(70))
TENSOR = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 2, 5), sf.BSplineBasis.uniform(0, 2, 4))
RIDGES = sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)
T = np.arange(80) * 0.1
U = np.sign(np.sin(0.7 * T))
DECAY = sf.DerivativeRegression(np.exp(-T) + 0.5 * np.cumsum(U) * 0.02 + 0.03 * RNG.standard_normal(80), T, U)
SPEED = lfilter([0.1], [1, -0.9], U + 0.2 * RNG.standard_normal(80))
DISTANCE = 0.1 * np.cumsum(SPEED)


def regressed():
    load = RNG.uniform(0, 1, 60)
    obs = sf.observe(X, Y + 2 * load)
    return sf.SmoothingSpline(obs, regressors={"load": load}).fit()


def accumulated():
    chunks = sf.SplineRegression.accumulate(BASIS).add(sf.observe(X[:30], Y[:30])).add(sf.observe(X[30:], Y[30:]))
    return chunks.model(sf.DerivativePenalty(2)).fit()


METHODS = ("kalman", "arx", "armax", "integral", "weak", "fourier", "whittle", "profile", "iv", "output_error", "difference")
FITS = {
    "smoothing spline": lambda: sf.SmoothingSpline(CURVE, order=3).fit(),
    "known noise": lambda: sf.SmoothingSpline(sf.observe(X, Y, sd=0.1)).fit(),
    "robust": lambda: sf.SmoothingSpline(sf.observe(X, Y)).fit(robust=True),
    "matern": lambda: sf.SmoothingSpline(CURVE, prior=sf.priors.Matern(2.5)).fit(),
    "regressors": regressed,
    "regression": lambda: sf.SplineRegression(CURVE, BASIS, sf.DerivativePenalty(2)).fit(),
    "least squares": lambda: sf.SplineRegression(CURVE, BASIS).fit("ols"),
    "bounded": lambda: sf.SplineRegression(CURVE, BASIS, sf.DerivativePenalty(2), sf.Bounds(upper=0.9)).fit(),
    "huber": lambda: sf.SplineRegression(CURVE, BASIS, sf.DerivativePenalty(2)).fit(loss="huber"),
    "quantile": lambda: sf.SplineRegression(sf.observe(X, Y), BASIS).fit("ols", loss="quantile"),
    "accumulated": accumulated,
    "surface": lambda: sf.SplineRegression(HEIGHT, TENSOR, RIDGES).fit(),
    "gp": lambda: sf.GaussianProcess(CURVE).fit(),
    "gp, filtered": lambda: sf.GaussianProcess(CURVE, kernel=sf.gp.Matern52()).fit(),
    "gp, two inputs": lambda: sf.GaussianProcess(HEIGHT, kernel=sf.gp.SquaredExponential(ard=False), mean="linear").fit(),
    **{method: lambda method=method: DECAY.fit(method) for method in METHODS},
    "arimax": lambda: sf.DerivativeRegression(DISTANCE, T, U, order=2, derivatives=(1,)).fit("arimax"),
    "dynamics curve": lambda: DECAY.fit("output_error").curve(),
}
REFUSED = {  # what a kind of fit cannot have; the error names the alternative
    "quantile": {"loo_resid": "fit without the observation"},
    "accumulated": dict.fromkeys(["fittedvalues", "resid", "loo_resid", "plot_diagnostics"], "fit"),
    "gp, filtered": {"integrate": "SmoothingSpline"},
}


@contextmanager
def quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sf.errors.SmoothfitWarning)
        yield


@pytest.fixture(scope="module", params=FITS)
def fit(request):
    with quietly():
        return request.param, FITS[request.param]()


def at_of(results):
    """Two places of a fit."""
    two = len(getattr(results, "inputs", ("x",))) == 2
    return np.array([[0.5, 0.7], [1.1, 1.6]]) if two else np.array([0.5, 1.25])


def arguments(results):
    names = list(results.params.index) if results._tested == list(results.params.index) else results._tested
    lower, upper = at_of(results)
    return {
        "t_test": (np.eye(len(names)),),
        "wald_test": (np.eye(len(names))[:1],),
        "f_test": (np.eye(len(names))[:1],),
        "get_prediction": (at_of(results),),
        "predict": (at_of(results),),
        "sample": (at_of(results),),
        "integrate": (lower, upper),
    }


def test_every_name_is_there_and_says_something_or_the_way_out(fit):
    kind, results = fit
    assert isinstance(results, Results)
    assert [name for name in VOCABULARY if not hasattr(type(results), name)] == []
    given, refused = arguments(results), {}
    for name in VOCABULARY:
        if name in ("save", "load", "remove_data"):
            continue
        try:
            value = getattr(results, name)
            found = value(*given.get(name, ())) if callable(value) else value
            assert found is not None
        except SpecificationError as error:
            refused[name] = str(error)
    expected = REFUSED.get(kind, {})
    assert refused.keys() == expected.keys(), refused
    assert all(way_out in refused[name] for name, way_out in expected.items())


def test_arguments_are_those_of_every_other_fit(fit):
    _, results = fit
    parameters = {
        name: list(inspect.signature(getattr(results, name)).parameters)
        for name in VOCABULARY
        if callable(getattr(type(results), name))
    }
    for name in ("predict", "get_prediction", "sample"):
        assert parameters[name][1] == "deriv"
    assert parameters["get_prediction"][-1] in ("parameters", "regressors")
    by_name = inspect.signature(results.get_prediction).parameters["simultaneous"]
    assert by_name.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["sample"][2:4] == ["size", "rng"]
    assert parameters["integrate"][:2] == ["lower", "upper"]
    assert parameters["conf_int"] == parameters["summary"] == ["alpha"]
    assert parameters["t_test"] == parameters["f_test"] == ["r_matrix", "q_matrix"]
    if hasattr(results, "bootstrap"):
        assert {"size", "kind", "rng", "n_jobs", "progress"} <= set(inspect.signature(results.bootstrap).parameters)


def test_predictions_speak_as_statsmodels_does(fit):
    _, results = fit
    at = at_of(results)
    prediction = results.get_prediction(at)
    assert isinstance(prediction, CurvePrediction)
    frame = prediction.summary_frame(alpha=0.1)
    assert list(frame.columns)[:4] == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    np.testing.assert_array_equal(prediction.predicted_mean, results.predict(at))
    np.testing.assert_array_equal(prediction.se_mean, frame["mean_se"])
    np.testing.assert_allclose(prediction.conf_int(alpha=0.1), frame[["mean_ci_lower", "mean_ci_upper"]], rtol=1e-14)
    assert results.sample(at, size=3, rng=0).shape == (3, 2)
    band = results.get_prediction(at, simultaneous=True).conf_int()
    assert (np.diff(band, axis=1) >= 0).all()  # zero where an observation is exact


def test_estimates_have_one_index_and_standard_names(fit):
    _, results = fit
    params, index = results.params, list(results.params.index)
    for table in (results.bse, results.tvalues, results.pvalues, results.conf_int(), results.cov_params()):
        assert list(table.index) == index
    np.testing.assert_allclose(results.bse**2, np.diag(results.cov_params()), rtol=1e-9)
    np.testing.assert_allclose(results.tvalues, params / results.bse, rtol=1e-14)
    df = np.where(results._is_positive, np.inf, results.df_interval if results.use_t else np.inf)
    if results._integrates:  # quantiles of a posterior
        low, high = results.conf_int(0.1).loc[results._tested[0]]
        assert float(np.squeeze(results.t_test(f"{results._tested[0]} = {high!r}").pvalue)) == pytest.approx(0.1, abs=1e-6)
        assert low < results.params.iloc[0] < high
        return
    np.testing.assert_allclose(results.pvalues, 2 * stats.t.sf(np.abs(params / results.bse), df), rtol=1e-12)
    low, high = results.conf_int(0.1).to_numpy().T
    if results._has_quantiles:
        assert (low <= high).all()
        assert (low[results._is_positive] >= 0).all()
        return
    on_log = results._is_positive & results.bse.notna().to_numpy()
    expected = stats.norm.isf(0.05) * (results.bse / params)[on_log]
    np.testing.assert_allclose(np.log(high[on_log] / params[on_log]), expected, rtol=1e-9)
    linear = ~results._is_positive
    half = stats.t.isf(0.05, df[linear]) * results.bse[linear]
    np.testing.assert_allclose((high - low)[linear] / 2, half, rtol=1e-9)
    params.iloc[:] = -1.0
    assert (results.params != -1.0).all()
    assert list(results.sigma.index) == list(dict.fromkeys(results.sigma.index))
    assert results.scale >= 0  # zero where a method takes observations for exact


def test_degrees_of_freedom_and_criteria(fit):
    kind, results = fit
    if kind not in (*METHODS, "arimax"):
        weighted = results.nobs if kind != "huber" else results.df_resid + results.edf
        assert results.df_resid == pytest.approx(weighted - results.edf)
        assert results.df_model == pytest.approx(results.edf)
    else:
        assert results.df_model == len(results.coefficients)
        assert results.df_resid == results.fitted.n_rows - results.df_model
    assert 0 <= results.edf <= results.nobs
    k, n = results._n_likelihood
    if np.isfinite(results.llf):
        assert results.bic - results.aic == pytest.approx((np.log(n) - 2) * k, abs=1e-9)


def test_contrasts_are_those_of_statsmodels(fit):
    _, results = fit
    names = results._tested
    known = results.bse[names].notna().to_numpy()
    chosen = np.flatnonzero(known)[:3]
    if len(chosen) < 2:
        pytest.skip("fewer than two parameters with standard errors")
    values, cov = results.params[names].to_numpy(), results.cov_params().loc[names, names].to_numpy()
    labels = [name for name, there in zip(names, known, strict=True) if there]
    data = SimpleNamespace(cov_names=labels, xnames=labels, param_names=labels)
    theirs = LikelihoodModelResults(
        SimpleNamespace(data=data, exog_names=labels), values[known], cov[np.ix_(known, known)], scale=1.0
    )
    theirs.use_t, theirs.df_resid = bool(results.use_t), results.df_interval if results.use_t else results.df_resid
    rows = np.zeros((2, len(names)))
    rows[0, chosen[:2]], rows[1, chosen[-1]] = [1.0, -0.5], 2.0
    q = rows @ values + np.sqrt(np.diag(rows[:, known] @ cov[np.ix_(known, known)] @ rows[:, known].T)) * [1.0, -2.0]
    one, other = results.t_test(rows, q), theirs.t_test((rows[:, known], q))
    for name in ("effect", "sd", "tvalue") if results._integrates else ("effect", "sd", "tvalue", "pvalue"):
        np.testing.assert_allclose(np.squeeze(getattr(one, name)), np.squeeze(getattr(other, name)), rtol=1e-7)
    if not results._integrates:
        np.testing.assert_allclose(one.conf_int(), other.conf_int(), rtol=1e-7)
    for test, use_f in (("wald_test", results.use_t), ("f_test", True)):
        one = getattr(results, test)(rows, q)
        other = theirs.wald_test((rows[:, known], q), use_f=bool(use_f), scalar=True)
        assert float(np.squeeze(one.statistic)) == pytest.approx(float(other.statistic), rel=1e-6)
        assert float(np.squeeze(one.pvalue)) == pytest.approx(float(other.pvalue), rel=1e-6)
    words = results.t_test(f"{names[chosen[0]]} = 0")
    assert float(np.squeeze(words.tvalue)) == pytest.approx(values[chosen[0]] / results.bse[names[chosen[0]]], rel=1e-7)


def test_files_hold_every_bit_and_stripped_ones_the_estimates(fit, tmp_path):
    _, results = fit
    results.save(tmp_path / "fit.pickle")
    again = sf.load(str(tmp_path / "fit.pickle"))
    assert type(again) is type(results)
    np.testing.assert_array_equal(again.predict(at_of(results)), results.predict(at_of(results)))
    assert type(results).load(tmp_path / "fit.pickle").llf == pytest.approx(results.llf, rel=0, abs=0, nan_ok=True)
    results.save(tmp_path / "small.pickle", remove_data=True)
    small = sf.load(tmp_path / "small.pickle")
    assert isinstance(small, EstimatesOnly)
    assert type(results) is not EstimatesOnly  # these stay as they are
    pd.testing.assert_series_equal(small.params, results.params)
    if results._has_quantiles:
        with pytest.raises(AbsentError, match="conf_int"):
            small.conf_int()
    else:
        pd.testing.assert_frame_equal(small.conf_int(0.1), results.conf_int(0.1))
    pd.testing.assert_frame_equal(small.cov_params(), results.cov_params())
    rows = np.eye(len(results._tested))
    if not results._integrates:
        np.testing.assert_allclose(small.t_test(rows).pvalue, results.t_test(rows).pvalue, rtol=1e-7)
    for name in ("llf", "aic", "bic", "nobs", "df_model", "df_resid", "edf", "scale"):
        np.testing.assert_array_equal(getattr(small, name), getattr(results, name))
    assert small.summary().as_text().split("Date")[0] == results.summary().as_text().split("Date")[0]
    with pytest.raises(AbsentError, match="remove_data"):
        _ = small.loo_resid
    if isinstance(results, sf.regression.SplineRegressionResults):
        np.testing.assert_allclose(small.predict(at_of(results)), results.predict(at_of(results)), rtol=1e-12)
    else:
        with pytest.raises(AttributeError, match="predict is made of the observations"):
            small.predict(at_of(results))
    assert not hasattr(small, "resid_standardized")


def test_what_is_no_file_of_results_is_refused(tmp_path):
    (tmp_path / "other").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="holds a list"):
        sf.load(tmp_path / "other")
    (tmp_path / "text").write_text("no pickle")
    with pytest.raises(DataError, match="contains no results"):
        sf.load(tmp_path / "text")


def test_removed_data_shrink_a_pickle():
    x = np.linspace(0, 1, 5000)
    results = sf.SplineRegression(sf.observe(x, np.sin(9 * x) + 0.1 * RNG.standard_normal(5000)), BASIS_OF_ONE).fit("ols")
    before = len(pickle.dumps(results))
    results.remove_data()
    assert len(pickle.dumps(results)) < before / 5
    assert isinstance(results.summary(), Summary)
    with pytest.raises(AbsentError, match=r"alpha is 0\.1"):
        results.summary(0.1)


BASIS_OF_ONE = sf.BSplineBasis.uniform(0, 1, 6)


def test_summaries_and_pictures_name_the_model(fit):
    kind, results = fit
    text = results.summary().as_text()
    dynamics = (*METHODS, "arimax", "dynamics curve")
    if kind in dynamics:
        model = "DerivativeRegression"
    elif kind.startswith("gp"):
        model = "GaussianProcess"
    else:
        model = "SplineRegression" if isinstance(results, sf.regression.SplineRegressionResults) else "SmoothingSpline"
    assert model in text
    if "plot_diagnostics" not in REFUSED.get(kind, {}):
        panels = [*results.plot_diagnostics(), *np.atleast_1d(results.plot())]
        assert all(isinstance(ax, matplotlib.axes.Axes) for ax in panels)


def test_printing_never_fits(monkeypatch):
    results = DECAY.fit("kalman")
    first, tests = results.summary().as_text(), results.test_noise()

    def refuse(*args, **kwargs):
        raise AssertionError("a filter pass")

    for name in ("terms", "smooth"):
        monkeypatch.setattr(likelihood.StateSpace, name, refuse)
    assert results.summary().as_text().split("Time")[0] == first.split("Time")[0]
    pd.testing.assert_frame_equal(results.test_noise(), tests)
    mine = results.test_noise()
    mine.iloc[:] = 0.0
    pd.testing.assert_frame_equal(results.test_noise(), tests)


def test_integrals_are_estimates(fit):
    kind, results = fit
    if "integrate" in REFUSED.get(kind, {}):
        return
    lower, upper = at_of(results)
    found = results.integrate(lower=lower, upper=upper)
    assert isinstance(found, Estimate)
    assert found.se >= 0
    assert results.integrate(upper, lower) == pytest.approx(float(found) if np.ndim(lower) else -float(found), rel=1e-7)


def test_a_parameter_is_tested_by_its_name_whatever_that_is():
    load = np.random.default_rng(0).uniform(0, 1, 60)
    results = sf.SmoothingSpline(sf.observe(X, Y + 2 * load), regressors={"load (kW) = x": load}).fit()
    assert float(np.squeeze(results.t_test("load (kW) = x").tvalue)) == pytest.approx(results.tvalues["load (kW) = x"])

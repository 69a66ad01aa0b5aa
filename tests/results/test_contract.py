"""What every Results class must do; a new one joins RESULTS."""

import functools
import inspect
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from statsmodels.iolib.summary import Summary

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.results import CurvePrediction, CurveResults, Estimate
from smoothfit.statespace.results import SmoothingSplineResults


def smoothing_spline(observations):
    return sf.SmoothingSpline(observations, order=3).fit()


def smoothing_spline_ml(observations):
    return sf.SmoothingSpline(observations, order=4).fit("ml")


def smoothing_spline_fixed(observations):
    return sf.SmoothingSpline(observations, order=3).fit("gcv", bandwidth=0.5)


def general_prior(observations):
    prior = sf.priors.Matern(3.5) + sf.priors.Polynomial(0)
    return sf.SmoothingSpline(observations, prior=prior).fit()


BASIS = sf.BSplineBasis.uniform(-2, 10, 20, degree=5)


def spline_regression(observations):
    return sf.SplineRegression(observations, BASIS, sf.DerivativePenalty(3)).fit()


def spline_regression_robust(observations):
    return sf.SplineRegression(observations, BASIS, sf.DifferencePenalty(2)).fit("gcv", cov_type="HC3")


RESULTS = [
    smoothing_spline,
    smoothing_spline_ml,
    smoothing_spline_fixed,
    general_prior,
    spline_regression,
    spline_regression_robust,
]


@pytest.fixture(scope="module")
def fitted(wave):
    return functools.cache(lambda make: make(wave))


@pytest.fixture(scope="module", params=RESULTS, ids=lambda make: make.__name__)
def results(request, fitted):
    return fitted(request.param)


GRID = np.array([-1.0, 0.0, 0.7, 3.1, 6.0, 8.0])


def test_is_a_curve(results):
    assert isinstance(results, CurveResults)


def test_parameters_and_their_uncertainty_share_an_index(results):
    index = list(results.params.index)
    assert index
    assert list(results.bse.index) == index
    assert list(results.cov_params().index) == index == list(results.cov_params().columns)
    interval = results.conf_int()
    assert list(interval.index) == index
    known = results.bse.notna()
    assert known.any()
    assert (interval.loc[known, 0] < results.params[known]).all()
    assert (results.params[known] < interval.loc[known, 1]).all()
    np.testing.assert_allclose(np.diag(results.cov_params()) ** 0.5, results.bse, rtol=1e-11)  # two ways to invert a band
    wider = results.conf_int(alpha=0.01)
    assert (wider.loc[known, 0] < interval.loc[known, 0]).all()


def test_likelihood_and_information_criteria(results):
    assert np.isfinite(results.llf)
    k, n = results._n_likelihood
    assert results.aic == pytest.approx(-2 * results.llf + 2 * k, rel=1e-14)
    assert results.bic == pytest.approx(-2 * results.llf + np.log(n) * k, rel=1e-14)


def test_degrees_of_freedom_add_up(results, wave):
    assert results.nobs == len(wave) == 100
    assert 0 < results.edf < results.nobs
    assert results.df_resid == pytest.approx(results.nobs - results.edf, rel=1e-14)


def test_sigma_names_every_kind_of_reading(results, wave):
    assert tuple(results.sigma.index) == wave.names
    assert (results.sigma > 0).all()
    assert results.scale > 0


def test_fitted_values_are_predictions_at_the_readings(results, wave):
    expected = np.concatenate([results.predict(r.x, deriv=r.deriv) for r in wave.readings])
    np.testing.assert_allclose(results.fittedvalues, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(results.resid, wave.y - expected, atol=1e-12)
    assert results.loo_resid.shape == results.resid.shape
    assert (np.abs(results.loo_resid) >= np.abs(results.resid)).all()


def test_prediction_has_the_shape_of_x(results):
    assert results.predict(1.0).shape == ()
    assert results.predict([]).shape == (0,)
    with pytest.raises(DataError, match=r"x has shape \(2, 3\), but x is one variable.*x\[:, 0\]"):  # a table of columns
        results.predict(GRID.reshape(2, 3), deriv=1)


@pytest.mark.parametrize("deriv", [0, 1, 2])
def test_prediction_frame(results, deriv):
    prediction = results.get_prediction(GRID, deriv=deriv)
    assert isinstance(prediction, CurvePrediction)
    frame = prediction.summary_frame(alpha=0.1)
    assert list(frame.columns) == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper"]
    np.testing.assert_array_equal(frame.index, GRID)
    np.testing.assert_array_equal(frame["mean"], results.predict(GRID, deriv=deriv))
    assert (frame["mean_se"] > 0).all()
    np.testing.assert_allclose(prediction.conf_int(alpha=0.1), frame[["mean_ci_lower", "mean_ci_upper"]], rtol=1e-14)
    half = (frame["mean_ci_upper"] - frame["mean_ci_lower"]) / 2
    assert (half / frame["mean_se"] > 1.6).all()  # 1.645 normal, a little more with Student's t
    # and more yet where the smoothing was estimated
    assert (half / frame["mean_se"] < (1.7 if prediction.law is None else 2.4 if has_spline(results) else 3.5)).all()
    if deriv < 2:
        sigma = results.sigma.iloc[deriv]
        np.testing.assert_allclose(prediction.se_obs**2, prediction.se_mean**2 + sigma**2, rtol=1e-13)
    else:  # no observation of f'': a new one has no known noise
        assert frame[["obs_ci_lower", "obs_ci_upper"]].isna().all(axis=None)


def test_bands_widen_away_from_the_readings(results):
    se = results.get_prediction([3.0, 7.0, 9.0]).se_mean
    assert se[0] < se[1] < se[2]


def test_integral_is_that_of_the_mean_and_knows_its_error(results):
    integral = results.integrate(0.5, 5.5)
    assert isinstance(integral, Estimate)
    x, weights = np.polynomial.legendre.leggauss(200)
    assert integral == pytest.approx(2.5 * weights @ results.predict(3 + 2.5 * x), rel=1e-6)
    if has_spline(results):
        assert integral == pytest.approx(results.spline().integrate(0.5, 5.5), rel=1e-9)
    assert integral.se > 0
    lower, upper = integral.conf_int()
    assert lower < integral < upper
    assert results.integrate(5.5, 0.5) == pytest.approx(-integral, rel=1e-12)
    assert results.integrate(2.0, 2.0) == 0
    parts = results.integrate(0.5, 2.0) + results.integrate(2.0, 5.5)
    assert parts == pytest.approx(integral, rel=1e-9)


def has_spline(results):
    return not (isinstance(results, SmoothingSplineResults) and results.fitted.posterior.no_spline)


def test_spline_is_the_mean(results, wave):
    if not has_spline(results):
        with pytest.raises(SpecificationError, match="predict"):
            results.spline()
        return
    spline = results.spline()
    assert isinstance(spline, sf.Spline)
    x = np.linspace(wave.x.min(), wave.x.max(), 301)
    for deriv in range(5):  # B-splines lose a few digits with each derivative
        np.testing.assert_allclose(spline(x, deriv=deriv), results.predict(x, deriv=deriv), atol=10.0 ** (deriv - 10))


def test_summary_is_statsmodels(results, wave):
    summary = results.summary()
    assert isinstance(summary, Summary)
    text = summary.as_text()
    for word in (
        "No. Observations:",
        "100",
        "Effective df:",
        "lam" if has_spline(results) else "Components:",
        "Converged:",
        "level",
        "rate",
        "60",
        "40",
    ):
        assert word in text
    assert "<table" in summary.as_html()
    assert "tabular" in summary.as_latex()


def test_prediction_errors_are_standardised_and_tested_by_series(results, wave):
    errors = results.resid_recursive
    assert errors.shape == (results.nobs,)
    assert 1 <= np.isnan(errors).sum() <= 4  # as many as determine what nothing restricts
    assert np.nanmean(errors**2) == pytest.approx(1.0, abs=0.5)
    test = results.test_serial_correlation()
    assert list(test.index) == list(wave.names)
    assert test["pvalue"].between(0, 1).all()


def test_plots_draw_the_curve_and_its_band(results):
    for deriv in range(3):
        ax = results.plot(deriv=deriv)
        (line,) = ax.get_lines()
        np.testing.assert_array_equal(line.get_ydata(), results.predict(line.get_xdata(), deriv=deriv))
        assert len(ax.collections) == (2 if deriv < 2 else 1)  # the band, and the readings where there are any
    assert len(results.plot_diagnostics()) == 6


def test_plots_of_several_fits_share_axes(results):
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    results.plot(ax=ax, label="one", linestyle="--", linewidth=3)
    limits = ax.get_ylim()
    results.plot(ax=ax, label="other", alpha=0.01)
    results.plot(ax=ax, label="third", color="black")
    one, other, third = ax.get_lines()
    assert (one.get_linestyle(), one.get_linewidth()) == ("--", 3)
    assert len({one.get_color(), other.get_color(), third.get_color()}) == 3
    assert third.get_color() == "black"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"one", "other", "third", "one, 95 % interval", "other, 99 % interval"} <= set(labels)
    assert labels.count("level, observed") == 1
    assert ax.get_ylim()[0] <= limits[0] < limits[1] <= ax.get_ylim()[1]


def test_what_results_return_is_the_callers_own(results):
    params, sigma = results.params.copy(), results.sigma.copy()
    for name in ("params", "sigma", "bse", "fittedvalues"):
        mine = getattr(results, name)
        mine[:] = -1.0
    assert (mine == -1.0).all()
    pd.testing.assert_series_equal(results.params, params)
    pd.testing.assert_series_equal(results.sigma, sigma)
    assert (results.fittedvalues != -1.0).all()


def test_prediction_keeps_the_x_it_was_asked_for(results):
    x = np.array([1, 2])
    prediction = results.get_prediction(x)
    assert prediction.x.dtype.kind == "i"
    x[:] = 0
    np.testing.assert_array_equal(prediction.summary_frame().index, [1, 2])


def test_plot_uses_the_axes_it_is_given(results):
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert results.plot(ax=ax) is ax


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: r.get_prediction(1.0, deriv=r.highest_derivative + 1), SpecificationError, "no finite variance"),
        (lambda r: r.predict(1.0, deriv=r.highest_mean_derivative + 1), SpecificationError, "deriv is"),
        (lambda r: r.get_prediction(1.0, deriv=-1), SpecificationError, "deriv is -1"),
        (lambda r: r.predict(np.nan), DataError, "finite"),
        (lambda r: r.predict(pd.Timestamp("2024-01-01")), DataError, "datetime64"),
        (lambda r: r.conf_int(alpha=2), SpecificationError, "alpha"),
        (lambda r: r.get_prediction(1.0, name="depth"), SpecificationError, "level, rate"),
        (lambda r: r.get_prediction(1.0, name="rate"), SpecificationError, r"observes f' and not f; pass deriv=1.*: level"),
        (lambda r: r.get_prediction(1.0, deriv=2, name="rate"), SpecificationError, r"observes f' and not f''; pass deriv=1$"),
        (lambda r: r.predict([[1, 2], [3]]), DataError, "different lengths"),
    ],
)
def test_bad_requests_are_refused_with_the_way_out(results, call, error, words):
    with pytest.raises(error, match=words):
        call(results)


def numbers_of(results):
    return [results.predict(GRID, deriv=1), results.get_prediction(GRID).se_mean, results.params.to_numpy(), results.llf]


def test_a_fresh_process_unpickles_every_bit(fitted, tmp_path):
    """One process for all classes: it would spend two seconds on each to import."""
    fits = [fitted(make) for make in RESULTS]
    for fit in fits:
        fit.predict(GRID)  # whatever is computed late must survive, too
    (tmp_path / "results.pickle").write_bytes(pickle.dumps(fits))
    script = textwrap.dedent(
        f"""
        import pickle
        import numpy as np
        with open({str(tmp_path / "results.pickle")!r}, "rb") as file:
            fits = pickle.load(file)
        GRID = np.array({GRID.tolist()})
        """
    )
    script += inspect.getsource(numbers_of) + textwrap.dedent(
        f"""
        numbers = [numbers_of(fit) for fit in fits]
        for fit in fits:
            fit.summary()
        with open({str(tmp_path / "numbers.pickle")!r}, "wb") as file:
            pickle.dump(numbers, file)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    for fit, found in zip(fits, pickle.loads((tmp_path / "numbers.pickle").read_bytes()), strict=True):
        for ours, theirs in zip(numbers_of(fit), found, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def _lopsided(alpha):
    return 1.0 + alpha, 4.0 - alpha


def test_estimates_pickle_and_behave_as_numbers():
    estimate = pickle.loads(pickle.dumps(Estimate(2.0, 0.5)))
    assert (float(estimate), estimate.se, estimate.df) == (2.0, 0.5, np.inf)
    assert estimate + 1 == 3.0
    np.testing.assert_allclose(estimate.conf_int(), [2 - 0.979981992270027, 2 + 0.979981992270027], rtol=1e-14)


@pytest.mark.parametrize("ends", [None, _lopsided])
def test_estimates_keep_their_errors_beside_numbers(ends):
    estimate = Estimate(2.0, 0.5, ends=ends)
    low, high = estimate.conf_int()
    for found, value, se, limits in [
        (3 * estimate, 6.0, 1.5, (3 * low, 3 * high)),
        (np.float64(3) * estimate, 6.0, 1.5, (3 * low, 3 * high)),
        (estimate * -3, -6.0, 1.5, (-3 * high, -3 * low)),
        (estimate / 4, 0.5, 0.125, (low / 4, high / 4)),
        (-estimate, -2.0, 0.5, (-high, -low)),
        (+estimate, 2.0, 0.5, (low, high)),
        (1 - estimate, -1.0, 0.5, (1 - high, 1 - low)),
        (estimate - np.int64(1), 1.0, 0.5, (low - 1, high - 1)),
        (10 + 2 * estimate, 14.0, 1.0, (10 + 2 * low, 10 + 2 * high)),
    ]:
        assert isinstance(found, Estimate)
        assert (float(found), found.se) == (value, se)
        np.testing.assert_allclose(found.conf_int(), limits, rtol=1e-14)
        assert pickle.loads(pickle.dumps(found)).conf_int() == found.conf_int()
    for other in (estimate * estimate, estimate + estimate, estimate - estimate, estimate / estimate, 1 / estimate):
        assert type(other) is float  # errors of two estimates may be related
    np.testing.assert_array_equal(np.array([1.0, 2.0]) * estimate, [2.0, 4.0])


def test_a_value_in_the_place_of_an_order_is_pointed_out(results):
    with pytest.raises(SpecificationError, match=r"deriv is 25.*roots\(value=25\)"):
        results.roots(25)

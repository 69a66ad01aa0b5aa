"""Results and predictions: names and shapes, intervals, summaries, pickles, bad requests."""

import functools
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.iolib.summary import Summary

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.gp.posterior import Derivatives
from smoothfit.inference.marginal import at_estimate
from smoothfit.results.mixtures import mixture


def dense(terrain, wave):
    return sf.GaussianProcess(terrain, kernel=sf.gp.Matern52(), mean="linear").fit()


def squared(terrain, wave):
    return sf.GaussianProcess(terrain, kernel=sf.gp.SquaredExponential(ard=False)).fit()


def filtered(terrain, wave):
    return sf.GaussianProcess(wave, kernel=sf.gp.Matern52()).fit(route="state_space")


def partly_known(terrain, wave):
    X, y = terrain["height"].X, terrain["height"].y
    return sf.GaussianProcess(X, y, sf.gp.Matern52([1.5, None]), sd=0.05, mean="zero").fit()


KINDS = [dense, squared, filtered, partly_known]


@pytest.fixture(scope="module")
def fitted(terrain, wave):
    return functools.cache(lambda make: make(terrain, wave))


@pytest.fixture(scope="module", params=KINDS, ids=lambda make: make.__name__)
def results(request, fitted):
    return fitted(request.param)


def points(results, m=7):
    d = len(results.model.inputs)
    return np.random.default_rng(0).uniform(0.5, 3.5, (m, d))


def test_parameters_and_their_uncertainty_share_an_index(results):
    index = list(results.params.index)
    for table in (results.bse, results.bse_log, results.cov_params(), results.cov_log_params(), results.conf_int()):
        assert list(table.index) == index
    values = results.params.to_numpy()
    np.testing.assert_allclose(results.cov_params(), results.cov_log_params() * np.outer(values, values), rtol=1e-14)
    np.testing.assert_allclose(results.bse, results.bse_log * results.params, rtol=1e-14)
    interval = results.conf_int()
    known = results.bse.notna()
    assert known.any()
    assert (interval.loc[known, 0] < results.params[known]).all()
    nodes = results.hyperparameters
    assert list(nodes.columns) == [*index, "weight"]
    assert len(nodes) > 1
    assert nodes["weight"].sum() == pytest.approx(1)
    assert (nodes[index].min() < interval[1]).all()
    assert (nodes[index].max() > interval[0]).all()
    assert results.kernel.amplitude == results.amplitude
    assert tuple(results.sigma.index) == results.observations.names


def test_likelihood_and_information_criteria(results):
    k, n = len(results.params), results.nobs - len(results.mean_coef)
    assert results.aic == pytest.approx(-2 * results.llf + 2 * k, rel=1e-14)
    assert results.bic == pytest.approx(-2 * results.llf + np.log(n) * k, rel=1e-14)
    assert 0 <= results.decrement < 1e-5


def test_predictions_have_the_shapes_they_promise(results):
    at = points(results)
    m, d = at.shape
    for order, predict in enumerate([results.predict_gradient, results.predict_hessian], start=1):
        prediction = predict(at)
        assert prediction.order == order
        shape = (m, *(d,) * order)
        assert prediction.mean.shape == prediction.se.shape == shape
        assert prediction.conf_int().shape == (*shape, 2)
        assert prediction.covariance.shape == (m, *(d,) * (2 * order))
        assert prediction.joint_covariance().shape == shape + shape
        mean, covariance = prediction
        assert mean is prediction.mean
        assert covariance is prediction.covariance
        assert (prediction.se > 0).all()
        flat = prediction.joint_covariance().reshape(prediction.mean.size, -1)
        np.testing.assert_allclose(np.sqrt(np.diag(flat)), prediction.se.ravel(), rtol=1e-9)
        np.testing.assert_allclose(flat, flat.T, rtol=1e-12, atol=1e-14)
        assert np.linalg.eigvalsh(flat).min() > -1e-9 * np.diag(flat).max()
        nothing = predict(np.empty((0, d)))
        assert nothing.mean.shape == (0, *(d,) * order)


def test_intervals_and_frames(results):
    prediction = results.predict_gradient(points(results))
    half = np.diff(prediction.conf_int(alpha=0.1))[..., 0] / 2
    critical = stats.t.isf(0.05, results.df_interval) if results.use_t else stats.norm.isf(0.05)
    given = at_estimate(results.engine, results.theta_hat)  # there intervals are Student's t about the same mean
    asked = Derivatives(prediction.X, [(j,) for j in range(len(results.inputs))])
    law = mixture(given, results.engine.moments(given.theta, asked))
    np.testing.assert_allclose(np.diff(law.interval(0.1))[:, 0] / 2, critical * prediction.se.ravel(), rtol=1e-6)
    assert np.median(half / (critical * prediction.se)) > 1
    frame = prediction.summary_frame(alpha=0.1)
    assert list(frame.columns) == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper"]
    assert frame.loc[(2, results.model.inputs[0]), "mean"] == prediction.mean[2, 0]
    assert list(results.predict_hessian(points(results)).summary_frame().index.names) == ["point", "by", "and_by"]
    value = results.get_prediction(points(results))
    sd = results.sigma.iloc[0]
    np.testing.assert_allclose(value.se_obs**2, value.se_mean**2 + sd**2, rtol=1e-13)
    assert (value.summary_frame()["obs_ci_lower"] < value.summary_frame()["mean_ci_lower"]).all()
    reads_slopes = (results.observations.axis >= 0).any()
    assert np.isfinite(prediction.se_obs).all() == reads_slopes
    assert np.isnan(results.predict_hessian(points(results)).se_obs).all()


def test_residuals_and_fitted_values(results):
    obs = results.observations
    np.testing.assert_array_equal(results.resid, obs.y - results.fittedvalues)
    expected = np.empty(results.nobs)
    value = obs.axis < 0
    expected[value] = results.predict(obs.X[value])
    for axis in range(len(obs.inputs)):
        mine = obs.axis == axis
        expected[mine] = results.predict_gradient(obs.X[mine]).mean[:, axis]
    np.testing.assert_allclose(results.fittedvalues, expected, atol=1e-10)


def test_mean_coefficients_are_in_the_users_units(terrain):
    X, y = terrain["height"].X, terrain["height"].y
    plane = 1e3 + X @ [20.0, -30.0] + y
    X = X + np.array([100, 0])
    res = sf.GaussianProcess(X, plane, sf.gp.Matern52([0.5, 0.5], 1e-3), sd=0.5, mean="linear").fit()
    design = np.column_stack([np.ones(25), X])
    ols, *_ = np.linalg.lstsq(design, plane, rcond=None)  # the process is negligible beside the noise
    np.testing.assert_allclose(res.mean_coef, ols, rtol=1e-5)
    np.testing.assert_allclose(res.cov_mean_coef(), 0.25 * np.linalg.inv(design.T @ design), rtol=1e-4)
    np.testing.assert_allclose(res.predict_gradient(X).mean, np.tile(ols[1:], (25, 1)), rtol=1e-3)
    assert list(res.mean_coef.index) == ["const", "x0", "x1"]


def test_summary_is_statsmodels(results):
    summary = results.summary()
    assert isinstance(summary, Summary)
    text = summary.as_text()
    for word in ["Gaussian Process Results", "Kernel:", "No. Observations:", str(results.nobs), "Converged:", "se(log)"]:
        assert word in text
    for name in [*results.params.index, *results.observations.names]:
        assert name in text
    assert "<table" in summary.as_html()
    assert "tabular" in summary.as_latex()


def test_summary_shows_what_was_given(terrain):
    X, y = terrain["height"].X, terrain["height"].y
    text = sf.GaussianProcess(X, y, sf.gp.Matern52([1.5, 1.0], 2.0), sd=0.1).fit().summary().as_text()
    assert "nothing to search" in text
    assert text.count("given") == 4  # the amplitude, two length scales, the noise
    assert "mean.const" in text


def test_one_kind_one_sd(terrain):
    assert list(sf.GaussianProcess(terrain).fit().sigma.index) == ["height", "df/dx0", "df/dx1"]
    X, G = terrain["df/dx0"].X, np.column_stack([terrain["df/dx0"].y, terrain["df/dx1"].y])
    shared = sf.gp.observe(X, terrain["height"].y[:10]) + sf.gp.observe(X, G, axis="all", name="slope")
    res = sf.GaussianProcess(shared, kernel=sf.gp.SquaredExponential()).fit()
    assert list(res.sigma.index) == ["f", "slope"]
    np.testing.assert_array_equal(res.predict_gradient(X).noise_sd, [res.sigma["slope"]] * 2)
    varied = sf.gp.observe(X, terrain["height"].y[:10], sd=np.linspace(0.1, 0.2, 10), weights=2.0)
    res = sf.GaussianProcess(varied, kernel=sf.gp.SquaredExponential([1, 1], 1)).fit()
    assert res.sigma["f"] == pytest.approx(np.sqrt(np.mean(np.linspace(0.1, 0.2, 10) ** 2)))


def test_data_frames_are_read_by_label(terrain):
    X, y = terrain["height"].X, terrain["height"].y
    frame = pd.DataFrame(X, columns=["east", "north"])
    res = sf.GaussianProcess(frame, pd.Series(y, name="height")).fit()
    assert list(res.length_scale.index) == ["east", "north"]
    assert "length_scale.east" in res.params
    expected = res.predict_gradient(X).mean
    np.testing.assert_array_equal(res.predict_gradient(frame[["north", "east"]]).mean, expected)
    assert "df/deast" not in res.observations.names
    others = frame.assign(height=y, up=np.nan)[["height", "up", "north", "east"]]
    np.testing.assert_array_equal(res.predict_gradient(others).mean, expected)
    with pytest.raises(DataError, match="X has no column 'north'; its columns are 'east', 'up'; pass the inputs 'east', 'north'"):
        res.predict(frame.rename(columns={"north": "up"}))
    with pytest.raises(DataError, match=r"X\['north'\]\[1\] is nan; every point needs finite inputs"):
        res.predict(pd.DataFrame({"east": [1.0, 2.0], "north": [1.0, np.nan]}))
    with pytest.raises(DataError, match=r"X\['north'\] has 1 values and X\['east'\] 2"):
        res.predict({"east": [1.0, 2.0], "north": [1.0]})
    with pytest.raises(DataError, match=r"X has 3 input\(s\) and the observations 2"):
        res.predict(np.ones((4, 3)))
    with pytest.raises(DataError, match=r"a single point is one row: X\[None, :\]"):
        res.predict([1.0, 2.0])
    with pytest.raises(DataError, match=r"X\[1, 0\] is inf"):
        res.predict([[1.0, 2.0], [np.inf, 1.0]])


def test_one_input_takes_one_dimension(wave):
    res = sf.GaussianProcess(wave, kernel=sf.gp.Matern32(2.0, 1.0)).fit()
    assert res.predict(1.0).shape == (1,)
    assert res.predict([1.0, 2.0]).shape == (2,)
    np.testing.assert_array_equal(res.predict([[1.0], [2.0]]), res.predict([1.0, 2.0]))
    with pytest.raises(DataError, match=r"columns 't', 'y', and the inputs of the observations have no names; pass the column"):
        res.predict(pd.DataFrame({"t": [1.0, 2.0], "y": [0.0, 0.0]}))


@pytest.mark.parametrize("method", ["predict", "predict_gradient", "predict_hessian"])
def test_a_frame_cannot_stand_for_points_without_names(terrain, method):
    X, y = terrain["height"].X, terrain["height"].y
    res = sf.GaussianProcess(X, y, sf.gp.SquaredExponential([1, 1], 1)).fit()
    frame = pd.DataFrame(X, columns=["north", "east"])
    with pytest.raises(DataError, match=r"columns 'north', 'east', and the .* have no names; pass its 2 columns as a matrix"):
        getattr(res, method)(frame)
    one, other = (getattr(res, method)(given) for given in (frame.to_numpy(), X))
    if method == "predict":
        np.testing.assert_array_equal(one, other)
    else:
        np.testing.assert_array_equal(one.mean, other.mean)


def test_derivatives_a_kernel_does_not_have_are_refused(wave):
    level = sf.Observations((wave["level"],))
    rough = sf.GaussianProcess(level, kernel=sf.gp.Matern12(2.0, 1.0)).fit()
    with pytest.raises(SpecificationError, match="Matérn 1/2 kernel have no gradient; use Matern32"):
        rough.predict_gradient(1.0)
    once = sf.GaussianProcess(level, kernel=sf.gp.Matern32(2.0, 1.0)).fit()
    with pytest.raises(SpecificationError, match="Matérn 3/2 kernel have no Hessian; use Matern52"):
        once.predict_hessian(1.0)
    with pytest.raises(SpecificationError, match="alpha"):
        once.get_prediction(1.0).conf_int(alpha=2)


def test_far_away_the_prior_is_all_that_is_known(terrain):
    kernel = sf.gp.Matern52([1.5, 1.0], 2.0)
    res = sf.GaussianProcess(terrain["height"].X, terrain["height"].y, kernel, sd=0.1).fit()
    far = res.predict_gradient([[1e4, 1e4]])
    np.testing.assert_allclose(far.mean, 0, atol=1e-300)
    np.testing.assert_allclose(far.se[0], 2 * np.sqrt(5 / 3) / np.array([1.5, 1.0]), rtol=1e-14)
    value = res.get_prediction([[1e4, 1e4]])
    assert value.predicted_mean[0] == pytest.approx(res.mean_coef["const"], rel=1e-13)
    assert value.se_mean[0] ** 2 == pytest.approx(4 + res.cov_mean_coef().iloc[0, 0], rel=1e-13)
    huge = res.predict_gradient([[1e300, -1e300]])
    np.testing.assert_array_equal(huge.mean, 0)


def test_a_fresh_process_unpickles_every_bit(fitted, tmp_path):
    """One process for all kinds: it would spend two seconds on each to import."""
    fits = [fitted(make) for make in KINDS]
    places = [points(fit) for fit in fits]

    def numbers_of(res, at):
        gradient = res.predict_gradient(at)
        return [res.predict(at), gradient.mean, gradient.covariance, gradient.joint_covariance(), res.params.to_numpy(),
                res.bse.to_numpy(), res.llf, res.fittedvalues, res.predict_hessian(at).se]  # fmt: skip

    given = [(fit, at, fit.predict_gradient(at)) for fit, at in zip(fits, places, strict=True)]
    (tmp_path / "results.pickle").write_bytes(pickle.dumps(given))
    script = textwrap.dedent(
        f"""
        import pickle
        with open({str(tmp_path / "results.pickle")!r}, "rb") as file:
            given = pickle.load(file)
        found = []
        for res, at, prediction in given:
            gradient = res.predict_gradient(at)
            found.append([res.predict(at), gradient.mean, gradient.covariance, prediction.joint_covariance(), res.params.to_numpy(),
                          res.bse.to_numpy(), res.llf, res.fittedvalues, res.predict_hessian(at).se])
            res.summary()
        with open({str(tmp_path / "numbers.pickle")!r}, "wb") as file:
            pickle.dump(found, file)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    for fit, at, found in zip(fits, places, pickle.loads((tmp_path / "numbers.pickle").read_bytes()), strict=True):
        for ours, theirs in zip(numbers_of(fit, at), found, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_models_and_results_say_what_they_are(terrain):
    model = sf.GaussianProcess(terrain, kernel=sf.gp.Matern52([1.5, 1.0], 2.0))
    assert repr(model) == (
        "GaussianProcess(Matern52(length_scale=(1.5, 1.0), amplitude=2.0), mean='constant') of 45 observations in 2 inputs"
    )
    assert "nobs=45" in repr(model.fit())


@pytest.mark.parametrize("kernel", [sf.gp.Matern12, sf.gp.Matern32, sf.gp.Matern52])
def test_far_away_in_one_input(kernel):
    x = np.array([0.0, 1.0, 2.0, 1e12])
    for route in ("dense", "state_space"):
        res = sf.GaussianProcess(x, [1.0, 2.0, 3.0, 4.0], kernel(1e-3, 2.0), sd=0.1).fit(route=route)
        at = [-1e300, 5e11, 1e300]
        np.testing.assert_allclose(res.predict(at), 2.5, rtol=1e-12)
        np.testing.assert_allclose(res.get_prediction(at).se_mean, 2 * np.sqrt(1 + 1.0025 / 4), rtol=1e-12)
    with pytest.raises(DataError, match=r"X\[1\] = .* is too far"):
        sf.GaussianProcess(x * 1e-20, x, kernel(1e-3, 2.0), sd=0.1).fit().predict([0.0, 1e305])

"""Intervals are computed when they are first asked for; means and standard errors wait for no integration."""

import copy
import pickle

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import IntegrationWarning, NumericalError
from smoothfit.gp import estimates
from smoothfit.results.later import Later, known, unchanged

X = np.linspace(0, 6, 25)
Y = np.sin(X) + 0.2 * np.random.default_rng(1).standard_normal(25)
AT = np.array([1.0, 2.5])
POINTS = np.random.default_rng(2).uniform(0, 1, (40, 2))
LINES = sf.BSplineBasis.uniform(0, 1, 2)
FITS = {
    "smoothing spline": lambda: sf.SmoothingSpline(sf.observe(X, Y)).fit(),
    "prior": lambda: sf.SmoothingSpline(sf.observe(X, Y), prior=sf.priors.Matern(1.5)).fit(),
    "regression": lambda: sf.SplineRegression(
        sf.observe(X, Y), sf.BSplineBasis.uniform(0, 6, 8), penalty=sf.DerivativePenalty(2)
    ).fit(),
    "surface": lambda: sf.SplineRegression(
        sf.observe(POINTS, POINTS[:, 0] + Y[0] * POINTS[:, 1] ** 2 + 0.1 * np.sin(99 * POINTS[:, 1])),
        sf.TensorProductBasis(LINES, LINES),
        penalty=sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1),
    ).fit(),
    "process": lambda: sf.GaussianProcess(X, Y, sf.gp.SquaredExponential(length_scale=1.5)).fit(),
}


def asked(res):
    """A prediction of every kind that the results make, and what gives its interval."""
    at = POINTS[:2] if res.observations.__class__.__name__ == "PointObservations" and res.observations.X.shape[1] > 1 else AT
    found = [res.get_prediction(at)]
    if hasattr(res, "predict_gradient"):
        found += [res.predict_gradient(at), res.predict_hessian(at), res.get_prediction(at, deriv=1)]
    found.append(-2.0 * res.integrate(at[0], at[1]) + 1.0)
    if hasattr(res, "difference"):
        found.append(res.difference(at[0], at[1]))
    return found


@pytest.fixture(scope="module", params=FITS)
def make(request):
    return FITS[request.param]


def test_means_and_standard_errors_wait_for_no_integration(make):
    res = make()
    for prediction in asked(res):
        assert np.isfinite(getattr(prediction, "se_mean", getattr(prediction, "se", None))).all()
        repr(prediction)
    assert "parameter_posterior" not in vars(res)
    prediction.conf_int()
    assert not res.parameter_posterior.is_single


def test_intervals_are_those_of_results_that_were_integrated_before(make):
    res, before = make(), make()
    late = asked(res)
    assert before.parameter_posterior.effective > 1
    now = [prediction.conf_int() for prediction in asked(before)]
    pickled = pickle.loads(pickle.dumps(late))
    res.remove_data()  # of what was predicted before nothing is lost
    for one in (copy.copy(late), late, pickled):
        for prediction, ends in zip(one, now, strict=True):
            np.testing.assert_array_equal(prediction.conf_int(), ends)


def test_pickles_of_predictions_have_laws_and_no_observations():
    res = FITS["smoothing spline"]()
    prediction = res.get_prediction(AT)
    assert prediction.laws._find is not None
    size = len(pickle.dumps(prediction))
    assert prediction.laws._find is None
    assert "parameter_posterior" in vars(res)
    assert size < len(pickle.dumps(res)) / 2


def test_what_a_prediction_computes_the_results_keep():
    res = FITS["prior"]()
    res.get_prediction(AT).conf_int()
    posterior = vars(res)["parameter_posterior"]
    assert res.parameter_posterior is unchanged(res).parameter_posterior is posterior


def test_predictions_of_a_stream_are_those_of_their_time():
    online = FITS["smoothing spline"]().online(lag=20)
    twin = copy.deepcopy(online)
    before, now = online.get_prediction([7.0]), twin.get_prediction([7.0]).conf_int()
    online.append(6.5, 3.0)
    np.testing.assert_array_equal(before.conf_int(), now)
    assert np.abs(online.get_prediction([7.0]).conf_int() - now).min() > 0.1


def test_warnings_come_when_the_integration_runs(monkeypatch):
    def fails(engine, theta_hat):
        raise NumericalError("singular")

    monkeypatch.setattr(estimates, "integrate", fails)
    res = FITS["process"]()
    prediction = res.get_prediction(AT)
    assert (prediction.se_mean > 0).all()
    with pytest.warns(IntegrationWarning, match="treat the hyperparameters as known: singular") as caught:
        prediction.conf_int()
    assert caught[0].filename == __file__


def test_what_raises_is_tried_again():
    calls = []

    def find():
        calls.append(1)
        if len(calls) == 1:
            raise NumericalError("once")
        return len(calls)

    later = Later(find)
    doubled = later.then(lambda value: 2 * value)
    with pytest.raises(NumericalError, match="once"):
        later.value  # noqa: B018
    assert (doubled.value, later.value, known(3).value, len(calls)) == (4, 2, 3, 2)

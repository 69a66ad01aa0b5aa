"""Hostile input to every public entry point: errors of ours, or finite answers; no other warning, nothing on stderr."""

import contextlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import smoothfit as sf
from smoothfit.errors import SmoothfitError

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
N = 18
U = np.linspace(0, 1, N)
WAVE = np.sin(6 * U) + 0.1 * np.cos(91 * U)
BASIS, CURVATURE, PRIORS = sf.BSplineBasis.uniform(0, 1, 5), sf.DerivativePenalty(2), sf.priors
REGRESSOR = {"z": np.cos(np.arange(float(N)))}

SIZES = [1.0, 1e8, 1e-8, 1e155, 1e-155, 1e300, 1e-300, 1e-310, 1e-320]
ABSCISSAE = {
    "even": U,
    "decades": np.geomspace(1e-300, 1e300, N),
    "ties": np.repeat([0.0, 0.5, 1.0], N // 3),
    "one": np.full(N, 0.5),
    "close": 1e8 + 1e-6 * U,
}
READINGS = {
    "wave": WAVE,
    "constant": np.full(N, 5.0),
    "zero": np.zeros(N),
    "line": 1 + 2 * U,
    "outlier": np.r_[WAVE[:-1], 1e300],
    "largest": 1.7e308 * np.sign(WAVE),
    "alternating": (-1.0) ** np.arange(N),
}
NOISES = [{}, *({"sd": sd} for sd in (0.1, 1e-300, 1e-160, 1e300)), {"sd": np.geomspace(1e-200, 1e200, N)}]
NOISES += [{"weights": 1e-300}, {"weights": 1e300}, {"weights": np.geomspace(1e-300, 1e300, N)}]

CURVES = {
    "spline": lambda obs: sf.SmoothingSpline(obs, 3).fit(),
    "gcv": lambda obs: sf.SmoothingSpline(obs).fit("gcv"),
    "given": lambda obs: sf.SmoothingSpline(obs).fit(edf=4),
    "robust": lambda obs: sf.SmoothingSpline(obs).fit(robust=True),
    "Matérn": lambda obs: sf.SmoothingSpline(obs, prior=PRIORS.Matern(1.5)).fit(),
    "step": lambda obs: sf.SmoothingSpline(obs, interventions=[sf.Level(0.4)]).fit(),
    "regressor": lambda obs: sf.SmoothingSpline(obs, regressors=REGRESSOR).fit(),
    "penalty": lambda obs: sf.SplineRegression(obs, BASIS, CURVATURE).fit(),
    "ols": lambda obs: sf.SplineRegression(obs, BASIS).fit("ols"),
    "monotone": lambda obs: sf.SplineRegression(obs, BASIS, CURVATURE, sf.Increasing()).fit(),
    "OU errors": lambda obs: sf.SplineRegression(obs, BASIS, CURVATURE, errors=sf.OU(0.1)).fit(),
    "huber": lambda obs: sf.SplineRegression(obs, BASIS, CURVATURE).fit(loss="huber", lam=1e-3),
    "quantile": lambda obs: sf.SplineRegression(obs, BASIS, CURVATURE).fit(loss="quantile", lam=1e-3),
}
METHODS = ["kalman", "output_error", "integral", "difference", "weak", "iv", "arx", "armax", "whittle", "profile", "fourier"]

OF_PRIORS = {
    "OU": lambda: PRIORS.OrnsteinUhlenbeck(),
    "integrated OU": lambda: PRIORS.IntegratedOrnsteinUhlenbeck(),
    "tension": lambda: PRIORS.TensionSpline(),
    "damped": lambda: PRIORS.DampedOscillator(0.3),
    "season": lambda: PRIORS.IntegratedWiener(2) + PRIORS.Seasonal(0.25, 1),
}

inputs = {
    "x": st.sampled_from(list(ABSCISSAE)),
    "y": st.sampled_from(list(READINGS)),
    "x_size": st.sampled_from([1.0, 1.0, 1.0, 1e300, 1e-300, 1e-310]),
    "y_size": st.sampled_from(SIZES),
    "noise": st.sampled_from(NOISES),
    "raising": st.booleans(),
}
bounded = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def observations(x, y, x_size, y_size, noise):
    with np.errstate(all="ignore"):
        t, values = ABSCISSAE[x] * x_size, READINGS[y] * y_size
    assume(np.isfinite(t).all() and np.isfinite(values).all())
    return t, values, sf.observe(t, values, **noise)


def check_call(call, raising=True):
    """Call with the caller's error state; None if it is refused by an error of ours."""
    with contextlib.suppress(SmoothfitError), np.errstate(all="raise" if raising else "warn"):
        return call()
    return None


@pytest.fixture(autouse=True)
def quiet(capfd):
    """Nothing is written to stderr, by LAPACK neither."""
    yield
    assert not capfd.readouterr().err


@pytest.mark.parametrize("model", list(CURVES))
@bounded
@given(**inputs)
def test_curves(model, x, y, x_size, y_size, noise, raising):
    t, _, obs = observations(x, y, x_size, y_size, noise)
    res = check_call(lambda: CURVES[model](obs), raising)
    if res is None:
        return
    prediction = check_call(
        lambda: res.get_prediction(np.clip(t[[2, N // 2]], *(getattr(res, "domain", None) or (t[0], t[-1])))), raising
    )
    if prediction is not None:
        assert np.isfinite(prediction.predicted_mean).all()
        assert np.isfinite(prediction.se_mean).all()
        assert (prediction.se_mean >= 0).all()
    for what in ("edf", "llf"):
        value = check_call(lambda what=what: getattr(res, what), raising)
        assert value is None or np.isfinite(value)
    check_call(res.summary, raising)


@pytest.mark.parametrize("method", METHODS)
@settings(bounded, max_examples=8)
@given(**inputs)
def test_equations(method, x, y, x_size, y_size, noise, raising):
    t, values, _ = observations(x, y, x_size, y_size, {})
    res = check_call(lambda: sf.DerivativeRegression(values, t).fit(method), raising)
    if res is not None:
        assert np.isfinite(res.params).all()
        check_call(res.summary, raising)


@pytest.mark.parametrize("prior", list(OF_PRIORS))
@settings(bounded, max_examples=4)
@given(**inputs)
def test_priors(prior, x, y, x_size, y_size, noise, raising):
    t, _, obs = observations(x, y, x_size, y_size, noise)
    res = check_call(lambda: sf.SmoothingSpline(obs, prior=OF_PRIORS[prior]()).fit(), raising)
    prediction = None if res is None else check_call(lambda: res.get_prediction(t[[2, N // 2]]), raising)
    if prediction is not None:
        assert np.isfinite(prediction.predicted_mean).all()
        assert (prediction.se_mean >= 0).all()


@settings(bounded, max_examples=10)
@given(**inputs)
def test_plots_and_online(x, y, x_size, y_size, noise, raising):
    t, _, obs = observations(x, y, x_size, y_size, noise)
    res = check_call(lambda: sf.SmoothingSpline(obs).fit(), raising)
    if res is None:
        return
    check_call(res.plot, raising)
    plt.close("all")
    online = check_call(lambda: res.online(lag=3), raising)
    if online is not None:
        check_call(lambda: online.append(t[-1], 1.0), raising)
        check_call(lambda: online.append(np.nextafter(t[-1], np.inf), 1e300), raising)


@settings(bounded, max_examples=3)
@given(**inputs)
def test_comparisons(x, y, x_size, y_size, noise, raising):
    t, values, _ = observations(x, y, x_size, y_size, {})
    check_call(lambda: sf.DerivativeRegression(values, t).compare(["integral", "difference", "arx"]).summary(), raising)


@settings(bounded, max_examples=8)
@given(**inputs)
def test_gaussian_processes(x, y, x_size, y_size, noise, raising):
    t, values, _ = observations(x, y, x_size, y_size, noise)
    res = check_call(lambda: sf.GaussianProcess(sf.gp.observe(t[:, None], values, sd=noise.get("sd"))).fit(), raising)
    if res is not None:
        prediction = check_call(lambda: res.get_prediction(t[:2, None]), raising)
        assert np.isfinite(res.llf)
        if prediction is not None:
            assert np.isfinite(prediction.predicted_mean).all()
            assert np.isfinite(prediction.se_mean).all()


class Hostile:
    """What raises when NumPy asks for an array."""

    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array here")

    def __repr__(self):
        return "Hostile()"


ODD = [
    None,
    "a",
    "",
    b"a",
    [],
    [[]],
    {},
    (),
    np.nan,
    np.inf,
    -1,
    0,
    2.5,
    1e300,
    True,
    1j,
    object(),
    lambda: 0,
    [1, "a"],
    [np.nan] * N,
]
ODD += [np.ones((2, 3, 4)), np.array("2020", "M8[D]"), pd.Series(["a"]), pd.DataFrame(), range(3), slice(2), 10**30, Hostile()]
FIT = sf.SmoothingSpline(sf.observe(U, WAVE)).fit()
BOUND = sf.SplineRegression(sf.observe(U, WAVE), BASIS, CURVATURE).fit()
FRAME = pd.DataFrame({"id": np.repeat(["a", "b"], N // 2), "x": U, "y": WAVE})
CALLS = {
    "observe x": lambda odd: sf.observe(odd, WAVE),
    "observe y": lambda odd: sf.observe(U, odd),
    "observe deriv": lambda odd: sf.observe(U, WAVE, deriv=odd),
    "observe SD": lambda odd: sf.observe(U, WAVE, sd=odd),
    "observe weights": lambda odd: sf.observe(U, WAVE, weights=odd),
    "observe unit": lambda odd: sf.observe(U, WAVE, unit=odd),
    "observe_integral": lambda odd: sf.observe_integral(odd, U + 1, WAVE),
    "observe_difference": lambda odd: sf.observe_difference(U, odd, WAVE),
    "spline order": lambda odd: sf.SmoothingSpline(FIT.observations, odd),
    "spline period": lambda odd: sf.SmoothingSpline(FIT.observations, period=odd),
    "spline method": lambda odd: FIT.model.fit(odd),
    "spline edf": lambda odd: FIT.model.fit(edf=odd),
    "predict x": FIT.predict,
    "predict deriv": lambda odd: FIT.predict(0.5, deriv=odd),
    "sample size": lambda odd: FIT.sample([0.5], size=odd),
    "sample rng": lambda odd: FIT.sample([0.5], size=2, rng=odd),
    "conf_int": lambda odd: FIT.get_prediction([0.5]).conf_int(alpha=odd),
    "Level": sf.Level,
    "Pulse": sf.Pulse,
    "Matern": PRIORS.Matern,
    "Seasonal": PRIORS.Seasonal,
    "regression basis": lambda odd: sf.SplineRegression(FIT.observations, odd),
    "regression penalty": lambda odd: sf.SplineRegression(FIT.observations, BASIS, odd),
    "regression constraints": lambda odd: sf.SplineRegression(FIT.observations, BASIS, CURVATURE, odd),
    "regression errors": lambda odd: sf.SplineRegression(FIT.observations, BASIS, CURVATURE, errors=odd),
    "regression lam": lambda odd: BOUND.model.fit(lam=odd),
    "regression method": lambda odd: BOUND.model.fit(odd),
    "regression loss": lambda odd: BOUND.model.fit(loss=odd, lam=1e-3),
    "regression x": BOUND.predict,
    "bootstrap size": lambda odd: BOUND.bootstrap([0.5], size=odd),
    "equation y": lambda odd: sf.DerivativeRegression(odd, U),
    "equation t": lambda odd: sf.DerivativeRegression(WAVE, odd),
    "equation order": lambda odd: sf.DerivativeRegression(WAVE, U, order=odd),
    "equation method": lambda odd: sf.DerivativeRegression(WAVE, U).fit(odd),
    "process X": lambda odd: sf.gp.observe(odd, WAVE),
    "fit_curves by": lambda odd: sf.fit_curves(FRAME, by=odd, x="x", readings={"y": 0}),
    "fit_curves threads": lambda odd: sf.fit_curves(FRAME, by="id", x="x", readings={"y": 0}, threads=odd, progress=False),
    "formula": lambda odd: sf.SplineRegression.from_formula(odd, FRAME),
    "equation formula": lambda odd: sf.DerivativeRegression.from_formula(odd, FRAME, t="x"),
}


@pytest.mark.parametrize("entry", list(CALLS))
def test_wrong_arguments(entry):
    foreign = {}
    for odd in ODD:
        with np.errstate(all="raise"):
            try:
                CALLS[entry](odd)
            except SmoothfitError:
                pass
            except Exception as error:
                foreign[repr(odd)[:40]] = repr(error)[:120]
    assert not foreign


@pytest.mark.parametrize(
    "text", ["y ~", "~", "y ~ (", "y ~ bsp(x", "y ~ " + " + ".join(["bsp(x)"] * 3000), "(" * 3000, "y ~ 1e", "\0"]
)
def test_formulas_that_do_not_parse(text):
    for read in (sf.SmoothingSpline.from_formula, sf.SplineRegression.from_formula):
        with pytest.raises(SmoothfitError):
            read(text, FRAME)
    with pytest.raises(SmoothfitError):
        sf.DerivativeRegression.from_formula(text, FRAME, t="x")

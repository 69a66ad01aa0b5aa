"""Derivatives of inputs on the right: transfer functions with zeros, and inputs that act at once, against scipy.signal."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, signal

import smoothfit as sf
from smoothfit.dynamics.engine import EquationEngine
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.errors import BiasWarning, IdentificationError, SpecificationError

from .conftest import held

SYSTEMS = {  # numerator and denominator, highest power first
    "battery": ([0.05, 0.004], [1.0, 0.05]),
    "zero": ([0.2, 0.3], [1.0, 0.6, 0.4]),
    "biproper": ([0.5, 0.2, 0.3], [1.0, 0.6, 0.4]),
}
STEP = 0.5


def coefficients(system):
    """Those of y, y', ..., u, u', ... in their order."""
    numerator, denominator = SYSTEMS[system]
    return [*(-np.array(denominator[:0:-1])), *numerator[::-1]]


def response(system, t, u, intersample):
    numerator, denominator = SYSTEMS[system]
    if intersample == "foh":
        return signal.lsim(signal.TransferFunction(numerator, denominator), u, t, interp=True)[1]
    discrete = signal.cont2discrete(signal.tf2ss(numerator, denominator), t[1] - t[0], "zoh")
    return signal.dlsim(discrete, u, t)[1][:, 0]


def model_of(system, n=200, noise=0.0, seed=0, intersample="zoh", **options):
    rng = np.random.default_rng(seed)
    t, u = np.arange(n) * STEP, held(rng, n, 5)
    y = response(system, t, u, intersample) + noise * rng.standard_normal(n)
    orders = {"order": len(SYSTEMS[system][1]) - 1, "input_derivatives": len(SYSTEMS[system][0]) - 1}
    return sf.DerivativeRegression(y, t, u, intersample=intersample, **orders, **options)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("intersample", ["zoh", "foh"])
@pytest.mark.parametrize("method", ["kalman", "output_error", "armax", "integral"])
def test_exact_samples_give_the_transfer_function(system, intersample, method):
    fitted = model_of(system, intersample=intersample, intercept=False).fit(method)
    np.testing.assert_allclose(fitted.coefficients, coefficients(system), rtol=1e-8)


@pytest.mark.parametrize("intersample", ["zoh", "foh"])
def test_filters_and_frequencies_have_the_same_maximum(intersample):
    model = model_of("battery", 200, 0.005, intersample=intersample)
    by = {method: model.fit(method) for method in ("kalman", "armax", "output_error", "whittle")}
    difference = np.abs(by["kalman"].coefficients - by["armax"].coefficients)
    assert (difference < 1e-3 * by["kalman"].bse.iloc[: len(difference)]).all()
    np.testing.assert_allclose(by["output_error"].coefficients, by["whittle"].coefficients, atol=0.05 * by["whittle"].bse.max())


def test_an_input_that_acts_at_once_is_one_beside_the_next_row():
    """Of a held input the sampled equation has the values at both ends of a step, each with a coefficient of its own."""
    model = model_of("battery", 200, 0.02, seed=1)
    y, u = model.sample.y[:, 0], model.sample.u[:, 0]
    both = sf.DerivativeRegression(y[:-1], model.sample.t[:-1], np.column_stack([u[:-1], u[1:]])).fit()
    alone = sf.DerivativeRegression(y[:-1], model.sample.t[:-1], u[:-1], input_derivatives=1).fit()
    assert alone.llf == pytest.approx(both.llf, abs=1e-6)
    assert alone.params["y"] == pytest.approx(both.params["y"], rel=1e-4)
    assert alone.gain("delta")["gain"].iloc[0] == pytest.approx(both.gain("delta")["gain"].sum(), rel=1e-4)


@pytest.mark.parametrize("intersample", ["zoh", "foh"])
def test_the_score_is_the_derivative_of_the_likelihood(intersample):
    rng = np.random.default_rng(2)
    t = np.sort(rng.uniform(0, 30, 40))
    y, u = rng.standard_normal((40, 2)), rng.standard_normal((40, 2))
    options = {"input_derivatives": {"u1": 2, "u2": 1}, "intersample": intersample, "order": 2}
    model = sf.DerivativeRegression(y, t, u, **options)
    space, n = StateSpace(model.equation, model.sample), model.equation.n_params
    theta = np.concatenate([[-0.5, 0.1, -0.6, 0.2], rng.standard_normal(6), [0.1, -0.4, 0.1, -0.7], rng.standard_normal(6)])
    assert len(theta) == n
    q, sigma2 = np.array([0.3, 0.2]), np.array([0.5, 0.4])
    found = space.terms(theta, q, sigma2)
    for i in range(n):
        up, down = (space.terms(theta + sign * 1e-6 * np.eye(n)[i], q, sigma2, slopes=False) for sign in (1, -1))
        assert (up.sse - down.sse) / 2e-6 == pytest.approx(found.sse_gradient[i], rel=1e-5, abs=1e-4)


def test_the_posterior_of_linear_coefficients_is_that_of_least_squares():
    fitted = model_of("biproper", 150, 0.05, seed=3).fit()
    engine = EquationEngine(fitted.model.problem, fitted.coefficients)
    logs = np.log(fitted.fitted.q / fitted.fitted.sigma2) if fitted.fitted.q[0] > 0 else np.array([-30.0])
    at = np.append(fitted.coefficients[:2], logs)[None]
    beta = engine.coefficients(at, engine.profile(at).beta.mean) @ engine.way_back.T
    np.testing.assert_allclose(beta[0], fitted.coefficients, atol=1e-4 * fitted.bse.to_numpy()[:6].max())


def test_several_outputs_have_each_its_feedthrough():
    rng = np.random.default_rng(4)
    A, B, D = np.array([[-0.3, 0.2], [0.1, -0.2]]), np.array([[1.0], [0.2]]), np.array([[0.5], [-0.3]])
    t, u = np.arange(150) * STEP, held(rng, 150, 5)
    y = signal.dlsim(signal.cont2discrete((A, B, np.eye(2), D), STEP, "zoh"), u, t)[1]
    fitted = sf.DerivativeRegression(y, t, u, intercept=False, input_derivatives=1).fit("output_error")
    of_u = B - A @ D
    expected = np.column_stack([A, of_u, D]).ravel()
    np.testing.assert_allclose(fitted.coefficients, expected, rtol=1e-8)
    assert list(fitted.params.index[:4]) == ["y1: y1", "y1: y2", "y1: u", "y1: D(u)"]


def test_responses_are_those_of_the_transfer_function():
    numerator, denominator = SYSTEMS["biproper"]
    fitted = model_of("biproper", intercept=False).fit("output_error")
    t = np.linspace(0, 10, 21)
    step = signal.step((numerator, denominator), T=t)[1]
    np.testing.assert_allclose(fitted.step_response(t)["mean"], step, atol=1e-8)
    strictly = signal.impulse((np.polysub(numerator, numerator[0] * np.array(denominator))[1:], denominator), T=t)[1]
    np.testing.assert_allclose(fitted.impulse_response(t)["mean"], strictly, atol=1e-8)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_transfer_function_has_the_zeros(system):
    numerator, denominator = SYSTEMS[system]
    fitted = model_of(system, intercept=False).fit("output_error")
    found = fitted.transfer_function()
    np.testing.assert_allclose(found.numerator, numerator, rtol=1e-7)
    np.testing.assert_allclose(found.zeros, np.roots(numerator), rtol=1e-7)
    w = np.array([0.01, 0.3, 5.0])
    expected = signal.freqs(numerator, denominator, w)[1]
    response_ = fitted.frequency_response(w)
    np.testing.assert_allclose(response_["magnitude"], np.abs(expected), rtol=1e-7)
    np.testing.assert_allclose(response_["phase"], np.degrees(np.angle(expected)), atol=1e-5)


@pytest.mark.parametrize("intersample", ["zoh", "foh"])
def test_the_curve_goes_on_with_the_input(intersample):
    """Predictions, forecasts and simulations pass through what scipy.signal computes on a grid that is finer by five."""
    fine, rng = np.arange(1500) * STEP / 5, np.random.default_rng(5)
    coarse = held(rng, 300, 5)
    u = np.repeat(coarse, 5) if intersample == "zoh" else np.interp(fine, fine[::5], coarse)
    y = response("biproper", fine, u, intersample)
    options = {"order": 2, "input_derivatives": 2, "intersample": intersample, "intercept": False}
    fitted = sf.DerivativeRegression(y[:1250:5], fine[:1250:5], coarse[:250], **options).fit("output_error")
    np.testing.assert_allclose(fitted.predict(fine[:1246]), y[:1246], atol=1e-7)
    np.testing.assert_allclose(fitted.forecast(fine[1250::5], coarse[250:])["mean"], y[1250::5], atol=1e-7)
    np.testing.assert_allclose(
        fitted.simulate(coarse[:250], fine[:1250:5], initial=[y[0], *fitted.smoother.at_nodes[0][0, 1:]]), y[:1250:5], atol=1e-7
    )
    assert fitted.curve().highest_derivative == 0
    assert list(fitted.states()) == ["y", "se(y)"]
    with pytest.raises(SpecificationError, match="deriv"):
        fitted.predict([1.0], deriv=1)


def test_integrals_are_sums_of_fine_predictions():
    fitted = model_of("biproper", 80, 0.02, intersample="foh").fit("output_error")
    t = np.linspace(10, 20, 4001)
    assert float(fitted.integrate(10, 20)) == pytest.approx(np.trapezoid(fitted.predict(t), t), abs=1e-5)


def test_formulas_name_derivatives_of_inputs():
    model = model_of("battery", 60, 0.01)
    frame = pd.DataFrame({"t": model.sample.t, "V": model.sample.y[:, 0], "I": model.sample.u[:, 0], "T": np.sin(model.sample.t)})
    fitted = sf.DerivativeRegression.from_formula("D(V) ~ V + I + D(I) + T", frame, t="t").fit("output_error")
    assert list(fitted.params.index[:5]) == ["V", "I", "T", "D(I)", "const"]
    same = sf.DerivativeRegression(frame["V"], frame["t"], frame[["I", "T"]], input_derivatives={"I": 1}).fit("output_error")
    np.testing.assert_array_equal(fitted.params, same.params)
    ahead = pd.DataFrame({"t": [31.0, 32.0], "I": [1.0, 1.0], "T": [0.0, 0.0]})
    np.testing.assert_array_equal(fitted.forecast(ahead)["mean"], same.forecast(ahead)["mean"])
    with pytest.raises(SpecificationError, match=r"D\(I\) without I"):
        sf.DerivativeRegression.from_formula("D(V) ~ V + D(I)", frame, t="t")
    with pytest.raises(SpecificationError, match="whole number"):
        sf.DerivativeRegression.from_formula("D(V) ~ V + I + D(I, 1.5)", frame, t="t")


def concentration(t, every, dose, volume, out, into=None):
    """After doses at 0, every, 2 every, ..., straight into the blood or absorbed at a rate, by the closed form."""
    after = np.maximum(t[:, None] - np.arange(0.0, t[-1] + 1, every), 0.0)
    given = t[:, None] >= np.arange(0.0, t[-1] + 1, every)
    if into is None:
        return (given * np.exp(-out * after)).sum(axis=1) * dose / volume
    return (given * (np.exp(-out * after) - np.exp(-into * after))).sum(axis=1) * dose / volume * into / (into - out)


@pytest.mark.parametrize(
    ("into", "formula"), [(None, "D(c) ~ c + given + D(given) - 1"), (1.1, "D(c, 2) ~ c + D(c) + given + D(given) - 1")]
)
def test_doses_are_derivatives_of_what_was_given(into, formula):
    """A bolus is an impulse: exact samples give rates and volume back, noisy ones what least squares of the closed form gives."""
    t, out, volume = np.arange(97) * 0.5, 0.23, 12.0
    exact = concentration(t, 8.0, 100.0, volume, out, into)
    data = pd.DataFrame({"t": t, "c": exact, "given": 100.0 * (1 + t // 8)})
    model = sf.DerivativeRegression.from_formula(formula, data, t="t", fixed={"given": 0.0})
    gain = 1 / volume if into is None else into / volume
    res = model.fit("output_error")
    assert res.params["D(given)"] == pytest.approx(gain, rel=1e-8)
    np.testing.assert_allclose(np.sort(-res.poles().real), [out] if into is None else [out, into], rtol=1e-8)
    if into is not None:
        return
    noisy = data.assign(c=exact + 0.2 * np.random.default_rng(0).standard_normal(97))
    found = sf.DerivativeRegression.from_formula(formula, noisy, t="t", fixed={"given": 0.0}).fit("output_error")

    def law(t, out, volume, first):  # the first row, after the first dose, is an unknown initial state
        later = concentration(t, 8.0, 100.0, volume, out) - 100 / volume * np.exp(-out * t)
        return later + first * np.exp(-out * t)

    (rate, size, _), cov = optimize.curve_fit(law, t, noisy["c"], p0=[0.2, 10.0, 8.0])
    assert found.params["c"] == pytest.approx(-rate, rel=1e-5)
    assert found.params["D(given)"] == pytest.approx(1 / size, rel=1e-5)
    assert found.bse["c"] == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-3)


def test_what_cannot_be_is_named():
    t, u = np.arange(40.0), held(np.random.default_rng(0), 40, 5)
    y = np.sin(t)
    for options, error, words in [
        ({"u": u, "input_derivatives": 2}, SpecificationError, "input_derivatives"),
        ({"u": u, "input_derivatives": {"v": 1}}, SpecificationError, "'v', which is not an input; the inputs are u"),
        ({"input_derivatives": 1}, SpecificationError, "no inputs"),
        ({"u": np.ones(40), "intercept": False, "input_derivatives": 1}, IdentificationError, r"constant in each run.*D\(u\)"),
        ({"u": u, "input_derivatives": 1, "terms": {"y**2": lambda y, t: y[0] ** 2}}, SpecificationError, "linear equations"),
    ]:
        with pytest.raises(error, match=words):
            sf.DerivativeRegression(y, t, **options)
    both = sf.observe(t, y, name="height") + sf.observe(t, np.cos(t), deriv=1, name="speed")
    with pytest.raises(SpecificationError, match=r"'speed' observes a derivative .* impulses"):
        sf.DerivativeRegression(both, t, u, order=2, input_derivatives=2)
    with pytest.raises(SpecificationError, match=r'no derivatives of inputs \(D\(u\)\); use method="kalman"'):
        sf.DerivativeRegression(y, t, u, input_derivatives=1).fit("difference")


@pytest.mark.parametrize("intersample", ["zoh", "foh"])
def test_a_missing_feedthrough_is_named_with_its_remedy(intersample):
    rng = np.random.default_rng(7)
    t, u = np.arange(300) * STEP, held(rng, 300, 5) if intersample == "zoh" else rng.standard_normal(300).cumsum()
    y = response("battery", t, u, intersample) + 0.005 * rng.standard_normal(300)
    with pytest.warns(BiasWarning, match=r"at the same time .* pass input_derivatives=\{'u': 1\}, or \+ D\(u\) in a formula"):
        sf.DerivativeRegression(y, t, u, intersample=intersample).fit()
    constant = sf.DerivativeRegression(y, t, u, intersample=intersample, input_derivatives=1).fit().time_constant()
    assert constant == pytest.approx(20.0, abs=3 * constant.se)


def test_an_input_that_is_recorded_late_is_named():
    rng = np.random.default_rng(6)
    t, u = np.arange(400) * STEP, held(rng, 401, 4)
    y = response("battery", t, u[1:], "zoh") + 0.005 * rng.standard_normal(400)
    with pytest.warns(BiasWarning, match=r"with the next value of the input u .* pass lags=\(-1, -1\)"):
        sf.DerivativeRegression(y, t, u[:-1], input_derivatives=1).fit()
    mended = sf.DerivativeRegression(y, t, u[:-1], input_derivatives=1, lags=(-1, -1)).fit()  # without a warning
    assert mended.time_constant() == pytest.approx(20.0, abs=3 * mended.time_constant().se)

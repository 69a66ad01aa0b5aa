"""Several series, given and unknown noise, replicates, known starts: every combination against least squares by hand."""

import itertools

import numpy as np
import pytest
from scipy import optimize

import smoothfit as sf
from smoothfit.dynamics import Term
from smoothfit.dynamics.engine import EquationEngine
from smoothfit.dynamics.methods import METHODS
from smoothfit.errors import DataError, IdentificationError, SmoothfitError, SpecificationError

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
T = np.linspace(0, 5, 101)
LEVEL = 3 * (1 - 0.7 * np.exp(-T))  # y' = 3 - y
WEIGHTS = np.where(np.arange(101) % 2, 1.0, 4.0)
MODES = ("given", "each", "unknown", "weights")


def series(t, y, sd, mode, name, deriv=0):
    noise = {"given": {"sd": sd}, "each": {"sd": np.full(len(t), sd)}, "unknown": {}, "weights": {"weights": WEIGHTS}}[mode]
    return sf.observe(t, y, deriv, name=name, **noise)


def by_hand(values, modes, sds, curve, start):
    """Weighted least squares, each unknown noise SD that of its residuals, rss / (n - trace): coefficients, errors, sds."""
    weights = [WEIGHTS if mode == "weights" else np.ones(101) for mode in modes]
    fixed = [mode in ("given", "each") for mode in modes]
    sd, x = list(sds), np.asarray(start)
    for _ in range(60):

        def residuals(x, sd=sd):
            return np.concatenate([np.sqrt(w) * (y - c) / s for y, c, w, s in zip(values, curve(x), weights, sd, strict=True)])

        found = optimize.least_squares(residuals, x, xtol=1e-15, ftol=1e-15, gtol=1e-15, jac="3-point", x_scale="jac")
        x, J = found.x, found.jac
        inverse = np.linalg.inv(J.T @ J)
        leverage = np.sum((J @ inverse) * J, axis=1).reshape(len(values), -1).sum(axis=1)
        rss = (found.fun.reshape(len(values), -1) ** 2).sum(axis=1) * np.square(sd)
        sd = [s if known else np.sqrt(r / (101 - h)) for s, known, r, h in zip(sd, fixed, rss, leverage, strict=True)]
    return x, np.sqrt(np.diag(inverse)), np.array(sd)[np.logical_not(fixed)]


def first_order(x):
    a, c, y0 = x
    return y0 * np.exp(a * T) - c / a * (1 - np.exp(a * T))


@pytest.mark.parametrize(("first", "second"), list(itertools.product(MODES, MODES)))
def test_output_error_weighs_series_by_their_given_and_unknown_sds(first, second):
    rng = np.random.default_rng(0)
    a, b = LEVEL + 0.05 * rng.normal(size=101), LEVEL + 0.1 * rng.normal(size=101)
    obs = series(T, a, 0.05, first, "a") + series(T, b, 0.1, second, "b")
    x, se, sd = by_hand([a, b], (first, second), (0.05, 0.1), lambda x: [first_order(x)] * 2, [-1.0, 3.0, 1.0])
    linear = sf.DerivativeRegression(obs).fit("output_error")
    # The likelihood of the linear equation takes initial states out of the SDs, least squares by hand all coefficients.
    np.testing.assert_allclose(linear.coefficients, x[:2], atol=0.03 * se[:2].max())
    np.testing.assert_allclose(linear.bse.iloc[:2], se[:2], rtol=0.025)
    np.testing.assert_allclose(list(linear.fitted.noise.values()), sd, rtol=0.015)
    bent = sf.DerivativeRegression(obs, terms={"decay": lambda y, t: y[0]}, derivatives=()).fit("output_error")
    np.testing.assert_allclose(bent.coefficients, x[:2], atol=1e-3 * se[:2].max())
    np.testing.assert_allclose(bent.bse.iloc[:2], se[:2], rtol=2e-3)
    np.testing.assert_allclose(list(bent.fitted.noise.values()), sd, rtol=1e-4)


def test_an_unknown_sd_beside_a_given_one_is_estimated():
    # Weighted least squares by hand; the unknown noise SD used to be set to the given one, 0.1.
    rng = np.random.default_rng(0)
    a, b = LEVEL + 0.05 * rng.normal(size=101), LEVEL + 0.1 * rng.normal(size=101)
    res = sf.DerivativeRegression(sf.observe(T, a, name="a") + sf.observe(T, b, sd=0.1, name="b")).fit("output_error")
    assert res.params["sigma.a"] == pytest.approx(0.0480, rel=0.02)
    assert res.bse.iloc[0] == pytest.approx(0.0190, rel=0.02)


@pytest.mark.parametrize(("first", "second"), [("given", "given"), ("given", "unknown"), ("unknown", "given"), ("weights", "each")])
def test_terms_take_observations_of_derivatives(first, second):
    # y'' = -4 sin y - y'/5 against scipy's solver within least squares by hand.
    from scipy.integrate import solve_ivp

    t = np.linspace(0, 10, 101)

    def curves(x):
        slope = lambda s, y: [y[1], x[1] * np.sin(y[0]) + x[0] * y[1]]  # noqa: E731
        return list(solve_ivp(slope, (0, 10), x[2:], t_eval=t, rtol=1e-9, atol=1e-11).y)

    rng = np.random.default_rng(1)
    truth = [-0.2, -4.0, 1.5, 0.0]
    values = [curve + sd * rng.normal(size=101) for curve, sd in zip(curves(truth), (0.02, 0.05), strict=True)]
    obs = series(t, values[0], 0.02, first, "angle") + series(t, values[1], 0.05, second, "speed", 1)
    model = sf.DerivativeRegression(obs, order=2, derivatives=(1,), intercept=False, terms={"sin": lambda y, t: np.sin(y[0])})
    res = model.fit("output_error")
    slopes = [(np.concatenate(curves(truth + s)) - np.concatenate(curves(truth - s))) / 2e-4 for s in 1e-4 * np.eye(4)]
    sds = np.repeat(res.sigma.to_numpy() * [0.02 if first == "given" else 1, 0.05 if second in ("given", "each") else 1], 101)
    weights = np.concatenate([WEIGHTS if m == "weights" else np.ones(101) for m in (first, second)])
    J = (np.array(slopes) * np.sqrt(weights) / sds).T
    np.testing.assert_allclose(res.bse.iloc[:2], np.sqrt(np.diag(np.linalg.inv(J.T @ J)))[:2], rtol=0.03)
    assert (np.abs(res.coefficients - truth[:2]) < 4 * res.bse.iloc[:2]).all()
    # The gradient of what is minimised vanishes.
    fitted = np.concatenate([res.predict(t), res.predict(t, deriv=1)])
    r = (np.concatenate(values) - fitted) * np.sqrt(weights) / sds
    found = [*res.coefficients, *res.fitted.extra["initial"][0]]
    slopes = [(np.concatenate(curves(found + s)) - np.concatenate(curves(found - s))) / 2e-4 for s in 1e-4 * np.eye(4)]
    J = (np.array(slopes) * np.sqrt(weights) / sds).T
    step = np.linalg.lstsq(J, r, rcond=None)[0]
    np.testing.assert_allclose(step[:2] / res.bse.iloc[:2], 0, atol=2e-3)


def least_of(engine, starts):
    """-2 restricted log-likelihood at its maximum, by another search, up to a constant."""

    def value(theta):
        log_det, sse = (term.value[0] for term in engine.terms(theta[None]))
        return log_det + sse

    options = {"xatol": 1e-8, "fatol": 1e-8}
    return min(optimize.minimize(value, start, method="Nelder-Mead", options=options).fun for start in starts)


@pytest.mark.parametrize("seed", range(6))
def test_without_process_noise_given_sds_leave_its_intensity_at_zero_or_find_some(seed):
    y = LEVEL + 0.05 * np.random.default_rng(seed).normal(size=101)
    res = sf.DerivativeRegression(sf.observe(T, y, sd=0.05, name="a")).fit("kalman")
    least = sf.DerivativeRegression(sf.observe(T, y, sd=0.05, name="a")).fit("output_error")
    assert res.llf >= least.llf - 1e-3
    assert res.boundary == (("q",) if res.params["q"] == 0 else ())
    if res.params["q"] == 0:
        # As output error but for log|X'X| of the initial state, which the likelihood knows.
        np.testing.assert_allclose(res.coefficients, least.coefficients, atol=0.05 * least.bse.max())
        np.testing.assert_allclose(res.bse.iloc[:2], least.bse, rtol=0.01)
    tests = res.test_noise()
    assert list(tests.index) == ["q = 0"]
    # Of restricted likelihoods, whose maxima over nodes 0.75 standard deviations apart are lower by some hundredths.
    null, full = (EquationEngine(res.model.problem, res.fitted.theta, absent) for absent in (0, None))
    pole = res.params.iloc[0]
    ratio = least_of(null, [[pole]]) - least_of(full, [[pole, log] for log in np.linspace(full.lower[1] + 1, full.upper[1] - 1, 7)])
    assert tests.loc["q = 0", "LR"] == pytest.approx(ratio, abs=0.05)
    assert tests.loc["q = 0", "pvalue"] > 0.05
    assert "q" in str(res.summary())


def test_replicates_are_two_series_of_one_sd():
    rng = np.random.default_rng(2)
    z = np.zeros(51)
    z[0] = 3.0
    for k in range(50):
        z[k + 1] = z[k] * np.exp(-0.1) + 0.13 * rng.standard_normal()
    t, y = np.repeat(T[::2], 2), np.repeat(z, 2) + 0.05 * rng.standard_normal(102)
    shuffled = rng.permutation(102)
    for method in ("kalman", "output_error"):
        one = sf.DerivativeRegression(sf.observe(t[shuffled], y[shuffled], sd=0.05, name="y"), intercept=False).fit(method)
        parts = sf.observe(t[::2], y[::2], sd=0.05, name="a") + sf.observe(t[1::2], y[1::2], sd=0.05, name="b")
        two = sf.DerivativeRegression(parts, intercept=False).fit(method)
        np.testing.assert_allclose(one.params, two.params, rtol=1e-8)
        np.testing.assert_allclose(one.bse, two.bse, rtol=1e-6)
        assert one.llf == pytest.approx(two.llf, rel=1e-10)
        at = [-1.0, 0.0, 0.07, 2.5, 7.0]
        ours, theirs = one.get_prediction(at), two.get_prediction(at)
        np.testing.assert_allclose(ours.predicted_mean, theirs.predicted_mean, rtol=1e-6)
        np.testing.assert_allclose(ours.se_mean, theirs.se_mean, rtol=1e-6)
        assert one.curve().integrate(0.5, 4.0) == pytest.approx(two.curve().integrate(0.5, 4.0), rel=1e-6)
    arrays = sf.DerivativeRegression(y, t, intercept=False).fit()
    named = sf.DerivativeRegression(sf.observe(t, y, name="y"), intercept=False).fit()
    np.testing.assert_allclose(arrays.params, named.params, rtol=1e-12)
    assert arrays.params["sigma"] > 0
    assert arrays.test_noise().loc["sigma = 0", "LR"] == np.inf  # no exact curve passes two values at one time


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_replicates_or_names_one_that_does(method):
    rng = np.random.default_rng(2)
    t = np.repeat(T, 2)
    y, u = np.repeat(LEVEL, 2) + 0.05 * rng.standard_normal(202), np.repeat(np.sign(np.sin(2 * T)), 2)
    model = sf.DerivativeRegression(y, t, u)
    if METHODS[method].replicates:
        assert abs(model.fit(method).params["y"] + 1) < 0.2
    else:
        with pytest.raises(SpecificationError, match=r'several at t = 0; use method="kalman", or average them'):
            model.fit(method)


@pytest.mark.parametrize("method", METHODS)
def test_a_known_start_may_be_a_series_of_its_own(method):
    y = 3 * np.exp(-T) + 0.02 * np.random.default_rng(1).standard_normal(101)
    obs = sf.observe([0.0], [3.0], sd=1e-6, name="start") + sf.observe(T[1:], y[1:], name="y")
    model = sf.DerivativeRegression(obs, intercept=False)
    if not METHODS[method].rates:
        with pytest.raises(
            SpecificationError, match=r"supports one series of observations, and there are 2 \('start', 'y'\); use m"
        ):
            model.fit(method)
        return
    res = model.fit(method)
    a = optimize.minimize_scalar(lambda a: np.sum((y[1:] - 3 * np.exp(a * T[1:])) ** 2), bracket=(-1.2, -0.8), tol=1e-12).x
    assert res.params.iloc[0] == pytest.approx(a, abs=0.02 * res.bse.iloc[0])


def test_series_that_identify_nothing_are_named():
    y = 3 * np.exp(-T)
    with pytest.raises(DataError, match=r"the series 'start' has 1 observation and no SD, too few to estimate it; pass sd="):
        sf.DerivativeRegression(sf.observe([0.0], [3.0], name="start") + sf.observe(T, y, name="y"))
    with pytest.raises(IdentificationError, match="without variation"):
        sf.DerivativeRegression(sf.observe(T, np.full(101, 3.0), name="a") + sf.observe(T, np.full(101, 3.0), name="b"))
    with pytest.raises(DataError, match="all observations are at one time"):
        sf.DerivativeRegression(sf.observe(np.zeros(4), np.arange(4.0), name="a"))
    moving = sf.observe(T, np.full(101, 3.0), sd=0.1, name="a") + sf.observe(T, np.sin(T), deriv=1, name="b")
    sf.DerivativeRegression(moving, order=2)


def test_rates_alone_do_not_identify_the_constant():
    rng = np.random.default_rng(0)
    t = np.arange(300) * 0.1
    u = np.repeat(rng.choice([-0.5, 0.5], 30), 10)
    x = np.zeros((300, 2))
    step = np.array([[0.0, 1.0], [-1.2, -0.5]])
    from scipy.linalg import expm

    whole = expm(np.block([[step, np.array([[0.0], [1.0]])], [np.zeros((1, 3))]]) * 0.1)
    for k in range(299):
        x[k + 1] = whole[:2, :2] @ x[k] + whole[:2, 2] * u[k]
    obs = sf.observe(t, x[:, 1] + 0.01 * rng.standard_normal(300), deriv=1, name="speed")
    words = (
        r"constant \(const\) cannot be identified: 'speed' observes D\(y\) .* obeys D\(speed, 2\) = a0 speed \+ a1 D\(speed\) \+ "
        r"b1 D\(u\), .* intercept=False"
    )
    with pytest.raises(IdentificationError, match=words):
        sf.DerivativeRegression(obs, t, u, order=2)
    res = sf.DerivativeRegression(obs, t, u, order=2, intercept=False).fit("output_error")
    assert list(res.params.index[:3]) == ["y", "D(y)", "u"]
    assert (np.abs(res.coefficients - [-1.2, -0.5, 1.0]) < 4 * res.bse.iloc[:3]).all()


def test_terms_and_coupled_outputs_are_refused_when_the_model_is_made():
    y = np.column_stack([np.sin(T), np.cos(T)])
    with pytest.raises(SpecificationError, match=r"\(cube\) go with one output, and there are 2 \(y1, y2\); leave"):
        sf.DerivativeRegression(y, T, terms=Term("cube", lambda y, t: y[0] ** 3))


@pytest.mark.parametrize("seed", range(3))
def test_series_that_contradict_each_other_have_the_best_optimum(seed):
    # No start at random leads to a greater likelihood.
    from smoothfit.dynamics.likelihood import StateSpace
    from smoothfit.dynamics.scoring import Search

    rng = np.random.default_rng(seed)
    t = np.linspace(0, 5, 60)
    obs = sum(
        (sf.observe(t, rng.uniform(-2, 2) + 2 * np.exp(a * t) + s * rng.standard_normal(60), name=name) for a, s, name in
         [(-3.0, 0.02, "b"), (-0.4, 0.5, "c")]),
        sf.observe(t, 1 - np.exp(-t) + 0.1 * rng.standard_normal(60), name="a"),
    )  # fmt: skip
    model = sf.DerivativeRegression(obs)
    res = model.fit("output_error")
    space = StateSpace(model.equation, model.sample)
    search, fixed = Search(space), np.arange(space.n_params) == 2
    for _ in range(8):
        theta, variances = np.array([-np.exp(rng.uniform(-2, 2)), rng.uniform(-3, 3)]), 10 ** rng.uniform(-5, 1, 4)
        variances[0] = 0.0
        try:
            other = search.minimise(theta, variances, fixed)
        except SmoothfitError:
            continue
        assert -0.5 * other.value <= res.llf + 0.05  # of which up to 0.03 is that SDs are unbiased here


@pytest.mark.parametrize("noise", [{"sd": 0.05}, {"weights": WEIGHTS}])
@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.weights])
def test_methods_that_use_no_given_noise_say_so(method, noise):
    y = LEVEL + 0.05 * np.random.default_rng(0).normal(size=101)
    u = np.sign(np.sin(2 * T))
    model = sf.DerivativeRegression(sf.observe(T, y, name="tank", **noise), T, u)
    with pytest.raises(SpecificationError, match=r"does not use sd= or weights=, and 'tank' has them; use method="):
        model.fit(method)


def test_copies_of_a_series_are_named():
    y = LEVEL + 0.05 * np.random.default_rng(0).normal(size=101)
    with pytest.raises(DataError, match="'a' and 'b' are equal wherever both are observed"):
        sf.DerivativeRegression(sf.observe(T, y, name="a") + sf.observe(T[::4], y[::4], name="b"))

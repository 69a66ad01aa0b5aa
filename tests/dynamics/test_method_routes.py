"""Estimates of the methods against other routes to the same numbers."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import least_squares
from scipy.signal import lfilter
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.statespace.mlemodel import MLEModel

import smoothfit as sf
from smoothfit.dynamics.methods import armax
from smoothfit.dynamics.methods.noises import average_noises
from smoothfit.dynamics.relation import Relation
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import BiasWarning, SpecificationError

from .conftest import TRUTH, held, long_sample, solution


def test_arx_is_ordinary_least_squares(noisy):
    t, u, y = noisy
    with pytest.warns(BiasWarning, match="kalman"):
        res = sf.DerivativeRegression(y, t, u).fit("arx")
    X = np.column_stack([y[:-1], u[:-1], np.ones(399)])
    for ours, kind, options in ((None, "nonrobust", {}), ("HC1", "HC1", {}), ("HC3", "HC3", {}), ("HAC", "HAC", {"maxlags": 5})):
        ols = sm.OLS(y[1:], X).fit(cov_type=kind, cov_kwds=options)
        phi, b, c = ols.params
        alpha = np.log(phi) / 0.05
        np.testing.assert_allclose(res.coefficients, [alpha, b * alpha / (phi - 1), c * alpha / (phi - 1)], rtol=1e-9)
        # the delta method by hand: d alpha = d phi / (phi h), d beta = alpha/(phi-1) db + b d(alpha/(phi-1))
        by_phi = 1 / (phi * 0.05 * (phi - 1)) - alpha / (phi - 1) ** 2
        J = np.array([[1 / (phi * 0.05), 0, 0], [b * by_phi, alpha / (phi - 1), 0], [c * by_phi, 0, alpha / (phi - 1)]])
        expected = J @ np.asarray(ols.cov_params()) @ J.T
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BiasWarning)
            cov = sf.DerivativeRegression(y, t, u).fit("arx", cov_type=ours, cov_kwds=options).cov_params()
        np.testing.assert_allclose(cov, expected, rtol=1e-6)
    assert res.llf == pytest.approx(sm.OLS(y[1:], X).fit().llf, rel=1e-12)
    np.testing.assert_allclose(res.discrete_params["coef"], sm.OLS(y[1:], X).fit().params, rtol=1e-9)
    np.testing.assert_allclose(res.discrete_params["std err"], sm.OLS(y[1:], X).fit().bse, rtol=1e-6)


def test_arx_without_inputs_is_an_autoregression():
    rng = np.random.default_rng(2)
    y = lfilter([1.0], [1.0, -1.2, 0.4], rng.standard_normal(500))
    res = sf.DerivativeRegression(y, np.arange(500) * 0.5, order=2).fit("arx")
    ar = AutoReg(y, 2, trend="c").fit()
    np.testing.assert_allclose(res.discrete_params["coef"], np.asarray(ar.params)[[1, 2, 0]], rtol=1e-6)
    poles = np.sort_complex(np.log(np.roots([1.0, *-np.asarray(ar.params)[1:]]).astype(complex)) / 0.5)
    np.testing.assert_allclose(np.sort_complex(res.poles()), poles, rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_arx_is_statsmodels_autoreg(order):
    from statsmodels.tsa.ar_model import AutoReg

    rng = np.random.default_rng(6)
    t = np.arange(400) * 0.2
    u = held(rng, 400, 4)
    y = solution([-1.0, 2.0, 0.5] if order == 1 else [-2.0, -1.5, 2.0, 0.5], t, u, order, q=0.01, rng=rng)[:, 0]
    if order == 1:  # as many discrete coefficients as continuous ones
        exog = np.concatenate([[0.0], u[:-1]])
        peer = AutoReg(y, 1, trend="c", exog=exog).fit()
        res = sf.DerivativeRegression(y, t, u).fit("arx")
        ours = res.discrete_params.loc[["const", "y.L1", "u.L1"]]
    else:  # without inputs
        still = solution([-2.0, -1.5, 0.0, 0.5], t, u, 2, q=0.3, rng=rng)[:, 0]
        peer = AutoReg(still, 2, trend="c").fit()
        res = sf.DerivativeRegression(still, t, order=2).fit("arx")
        ours = res.discrete_params.loc[["const", "y.L1", "y.L2"]]
    np.testing.assert_allclose(ours["coef"], peer.params, rtol=1e-7)
    # AutoReg divides by n, we by n - k
    n, k = 400 - order, 3
    np.testing.assert_allclose(ours["std err"], peer.bse * np.sqrt(n / (n - k)), rtol=1e-6)


def test_arimax_is_ols_on_differences_with_the_formulas_of_the_second_order():
    rng = np.random.default_rng(4)
    h = 0.05
    t, u = np.arange(500) * h, held(rng, 500, 10)
    y = solution([-3.0, 2.0, 0.4], t, u, order=2, q=0.01, rng=rng, derivatives=(1,))[:, 0]
    with pytest.warns(BiasWarning, match="process noise of order 2"):  # a moving average of their differences
        res = sf.DerivativeRegression(y, t, u, order=2, derivatives=(1,)).fit("arimax")
    d = np.diff(y)
    X = np.column_stack([d[:-1], u[1:-1], u[:-2], np.ones(498)])
    phi, b0, b1, c0 = sm.OLS(d[1:], X).fit().params
    alpha = np.log(phi) / h
    c1 = (phi - 1) / alpha
    c2 = (c1 - h) / alpha
    beta = (b0 + b1) / (c2 + c1**2 - phi * c2)
    np.testing.assert_allclose(res.coefficients, [alpha, beta, c0 / (c1 * h)], rtol=1e-8)
    assert res.bse["D(y)"] == pytest.approx(sm.OLS(d[1:], X).fit().bse[0] / (phi * h), rel=1e-4)
    with pytest.raises(SpecificationError, match="arx"):
        sf.DerivativeRegression(y, t, u, order=2).fit("arimax")


def test_difference_is_ols_on_difference_quotients_and_warns(noisy):
    t, u, y = noisy
    with pytest.warns(BiasWarning, match='use method="kalman"'):
        res = sf.DerivativeRegression(y, t, u).fit("difference")
    ols = sm.OLS(np.diff(y) / 0.05, np.column_stack([y[:-1], u[:-1], np.ones(399)])).fit()
    np.testing.assert_allclose(res.params, ols.params, rtol=1e-10)
    np.testing.assert_allclose(res.bse, ols.bse, rtol=1e-10)
    # the bias it predicts explains what it is off by, within the error of a good estimate
    good = sf.DerivativeRegression(y, t, u).fit()
    assert res.params["y"] - res.diagnostics["predicted bias y"] == pytest.approx(good.params["y"], abs=3 * good.bse["y"])
    assert 0.8 < res.diagnostics["attenuation y"] < 1
    assert res.diagnostics["noise SD (lags)"] == pytest.approx(0.1, rel=0.2)
    assert res.diagnostics["lag-one correlation"] < -0.2


class Armax(MLEModel):
    """An ARMAX(1,1) in statsmodels: y and its innovation as the state, y_0 given, e_0 as uncertain as any."""

    def __init__(self, y, u):
        super().__init__(y[1:], k_states=2, k_posdef=1)
        self.y0, self.u = y[0], u
        self["design"] = np.array([[1.0, 0.0]])
        self["selection"] = np.array([[1.0], [1.0]])

    def update(self, params, **kwargs):
        phi, b, c, ma, s2 = super().update(params, **kwargs)
        self["transition"] = np.array([[phi, ma], [0.0, 0.0]])
        self["state_cov", 0, 0] = s2
        drive = b * self.u[:-1] + c
        self["state_intercept"] = np.vstack([np.append(drive[1:], 0.0), np.zeros(len(drive))])
        self.ssm.initialize_known(np.array([phi * self.y0 + drive[0], 0.0]), s2 * np.array([[1 + ma**2, 1.0], [1.0, 1.0]]))


def test_armax_is_statsmodels_armax_by_state_space(noisy):
    t, u, y = noisy
    res = sf.DerivativeRegression(y, t, u).fit("armax")
    n = 399
    theirs = Armax(y, u)
    relation = Relation(res.model.equation, 0.05)
    psi, ma = relation.psi(res.coefficients), res.fitted.extra["moving_average"]

    def llf(x):
        return theirs.loglike(np.array([*x[:4], np.exp(x[4])]))

    rows = relation.rows(res.model.sample)
    e, weight = armax._innovations(relation, rows, res.coefficients, ma, armax._presample(rows, ma))
    x = np.array([*psi, *ma, np.log(e @ e / weight**2 / n)])
    assert res.llf == pytest.approx(llf(x), rel=1e-10)
    # interior of the noises' region: the free maximum of statsmodels' likelihood is ours
    assert 0 < res.fitted.extra["process_share"] < 1
    for i in range(5):
        width = 1e-4 * np.eye(5)[i]
        curvature = (llf(x + width) - 2 * llf(x) + llf(x - width)) / 1e-8
        slope = (llf(x + width) - llf(x - width)) / 2e-4
        assert abs(slope) < 0.02 * np.sqrt(-curvature)


def test_armax_whittle_and_kalman_agree(noisy):
    t, u, y = noisy
    model = sf.DerivativeRegression(y, t, u)
    kalman, other, spectral = (model.fit(method) for method in ("kalman", "armax", "whittle"))
    for res in (other, spectral):
        assert (np.abs(res.coefficients - kalman.coefficients) < 0.1 * kalman.bse.iloc[:3]).all()
        np.testing.assert_allclose(res.bse, kalman.bse, rtol=0.1)
    np.testing.assert_allclose(other.fitted.noise["sigma"], kalman.fitted.noise["sigma"], rtol=0.02)


def test_output_error_is_nonlinear_least_squares_on_the_solution():
    rng = np.random.default_rng(6)
    t, u = np.sort(rng.uniform(0, 20, 200)), rng.standard_normal(200)
    y = solution(TRUTH[2], t, u, order=2)[:, 0] + 0.05 * rng.standard_normal(200)
    y[50:60] = np.nan
    res = sf.DerivativeRegression(y, t, u, order=2).fit("output_error")
    read = np.isfinite(y)

    def residual(x):
        return (y - solution(x[:4], t, u, order=2, initial=x[4:])[:, 0])[read]

    found = least_squares(residual, np.array([-3.5, -1.1, 1.8, 0.4, 0.0, 0.0]), xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(res.coefficients, found.x[:4], rtol=1e-5)
    variance = 2 * found.cost / (read.sum() - 6)
    assert res.params["sigma"] == pytest.approx(np.sqrt(variance), rel=1e-6)
    expected = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)) * variance)[:4]
    np.testing.assert_allclose(res.bse.iloc[:4], expected, rtol=0.05)  # observed against expected information


def test_kalman_without_process_noise_is_output_error():
    rng = np.random.default_rng(8)
    t, u = np.arange(300) * 0.05, held(rng, 300, 10)
    y = solution(TRUTH[1], t, u)[:, 0] + 0.1 * rng.standard_normal(300)
    model = sf.DerivativeRegression(y, t, u)
    kalman, solved = model.fit(), model.fit("output_error")
    assert kalman.boundary == ("q",)
    np.testing.assert_allclose(kalman.coefficients, solved.coefficients, atol=0.2 * solved.bse.iloc[:3].min())
    assert kalman.test_noise().loc["q = 0", "pvalue"] > 0.05


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")  # of the process noise that the sample has
def test_profiling_brings_the_smoothed_curve_closest_to_the_readings(noisy):
    t, u, y = noisy
    res = sf.DerivativeRegression(y, t, u).fit("profile", lam=2.0)
    from smoothfit.dynamics.likelihood import StateSpace

    space = StateSpace(res.model.equation, res.model.sample)

    def rss(theta):
        return np.sum((y - space.smooth(theta, np.array([0.5]), np.ones(1))[0][:, 0]) ** 2)

    for i in range(3):
        width = 1e-2 * res.bse.iloc[i] * np.eye(3)[i]
        up, here, down = (rss(res.coefficients + sign * width) for sign in (1, 0, -1))
        assert abs(up - down) < (up - 2 * here + down)  # the minimum is within a hundredth of a standard error
        assert up > here < down
    # the inner problem: a dense ridge regression of the observations on solutions and on what white noise adds to them
    h, a = 0.05, res.coefficients[0]
    lags = np.abs(np.subtract.outer(t, t))
    started = np.exp(a * t)
    wander = (np.exp(a * lags) - np.exp(a * np.add.outer(t, t))) / (-2 * a) * 0.5
    phi, b, c = np.exp(a * h), *(res.coefficients[1:] * np.expm1(a * h) / a)
    driven = lfilter([1.0], [1.0, -phi], np.r_[0.0, b * u[:-1] + c])
    V = np.eye(400) + wander
    start = (started @ np.linalg.solve(V, y - driven)) / (started @ np.linalg.solve(V, started))
    curve = driven + started * start + wander @ np.linalg.solve(V, y - driven - started * start)
    np.testing.assert_allclose(y - res.resid, curve, atol=1e-9)
    solved = sf.DerivativeRegression(y, t, u)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BiasWarning)
        near, limit = solved.fit("profile", lam=1e7), solved.fit("output_error")
    np.testing.assert_allclose(near.coefficients, limit.coefficients, atol=0.02 * limit.bse.iloc[:3].min())


def test_integral_by_gls_solves_its_estimating_equations():
    rng = np.random.default_rng(9)
    t, u = np.arange(400) * 0.05, held(rng, 400, 10)
    y = solution(TRUTH[1], t, u)[:, 0] + 0.1 * rng.standard_normal(400)
    res = sf.DerivativeRegression(y, t, u).fit("integral")
    relation = Relation(res.model.equation, 0.05)
    phi, b, c = relation.psi(res.coefficients)
    # Steiglitz & McBride: at the fixed point, ordinary least squares on the prefiltered columns gives the filter back
    columns = [lfilter([1.0], [1.0, -phi], v) for v in (y[:-1], u[:-1], np.ones(399), y[1:], np.eye(399)[0])]
    found = np.linalg.lstsq(np.column_stack([*columns[:3], columns[4]]), columns[3], rcond=None)[0]
    np.testing.assert_allclose(found[:3], [phi, b, c], rtol=1e-6)
    ols = sf.DerivativeRegression(y, t, u).fit("integral", weights="ols")
    # y_k on running sums of y, of u and of one, and a constant: plain OLS on the summed equation
    sums = np.column_stack([np.cumsum(v) for v in (y[:-1], u[:-1], np.ones(399))] + [np.ones(399)])
    plain = np.linalg.lstsq(sums, y[1:], rcond=None)[0]
    np.testing.assert_allclose(ols.discrete_params["coef"], plain[:3] + np.array([1, 0, 0]), rtol=1e-7)
    J = sums[:, :3] - sums[:, 3:] * sums[:, :3].mean(axis=0)
    J = J @ relation.jacobian(ols.coefficients)
    phi = ols.discrete_params["coef"].iloc[0]
    W = np.tril(np.ones((399, 399))) @ (np.eye(399) - phi * np.eye(399, k=-1))
    bread = np.linalg.inv(J.T @ J)
    # process noise sums up as W L w, W = S A and L = A^-1: S w
    a = ols.coefficients[0]
    sigma2, q = average_noises(ols.model.problem, ols.coefficients)
    S = np.tril(np.ones((399, 399))) * np.sqrt(q * np.expm1(2 * a * 0.05) / (2 * a))
    expected = bread @ J.T @ (sigma2 * W @ W.T + S @ S.T) @ J @ bread
    np.testing.assert_allclose(ols.cov_params(), expected, rtol=1e-5)


def test_instruments_are_orthogonal_to_the_residual_and_hold_under_both_noises(noisy):
    t, u, y = noisy
    res = sf.DerivativeRegression(y, t, u).fit("iv")
    good = sf.DerivativeRegression(y, t, u).fit()
    assert abs(res.params["y"] - good.params["y"]) < 3 * res.bse["y"]
    assert res.fitted.decrement < 1e-10
    with pytest.raises(SpecificationError, match="kalman"):
        sf.DerivativeRegression(y, t).fit("iv")


def test_non_linear_terms_by_integration():
    rng = np.random.default_rng(10)
    t = np.arange(300) * 0.02
    u = 4 * np.sin(2 * t)
    terms = (sf.dynamics.Term("y**3", lambda y, t: y[0] ** 3),)
    equation = Equation(2, ("y",), (1,), ("u",), terms, False, "foh")
    from smoothfit.dynamics.nonlinear import solve

    theta = np.array([-0.5, 1.0, -2.0])
    clean_y = solve(equation, theta, t, u[:, None], np.array([0.5, 0.0]))[:, 0]
    from scipy.integrate import solve_ivp

    def slope(s, x):
        return [x[1], theta[0] * x[1] + theta[1] * np.interp(s, t, u) + theta[2] * x[0] ** 3]

    exact = solve_ivp(slope, (0, t[-1]), [0.5, 0.0], t_eval=t, rtol=1e-12, atol=1e-14, max_step=0.02).y[0]
    np.testing.assert_allclose(clean_y, exact, atol=1e-6)
    y = clean_y + 0.01 * rng.standard_normal(300)
    model = sf.DerivativeRegression(y, t, u, order=2, terms=terms, intercept=False, derivatives=(1,), intersample="foh")
    res = model.fit("output_error")
    assert (np.abs(res.coefficients - theta) < 4 * res.bse.iloc[:3]).all()
    np.testing.assert_allclose(res.simulate(), clean_y, atol=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BiasWarning)
        matched = model.fit("integral")
    assert list(matched.params.index) == ["D(y)", "u", "y**3"]
    np.testing.assert_allclose(matched.coefficients, theta, atol=0.1)  # the smoothing's own error
    np.testing.assert_allclose(matched.simulate(), clean_y, atol=0.1)
    assert "smoothed observations" in str(matched.summary())
    with pytest.raises(SpecificationError, match='use method="integral"'):
        model.fit("weak")
    with pytest.raises(SpecificationError, match='use weights="ols"'):
        model.fit("integral", weights="gls")
    with pytest.raises(SpecificationError, match="output_error"):
        model.fit("kalman")


@pytest.mark.parametrize("intersample", ["zoh", "foh"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_friction_by_the_sign_of_the_smoothed_velocity(intersample):
    from smoothfit.dynamics.nonlinear import solve

    rng = np.random.default_rng(2)
    t = np.arange(2000) * 0.01
    u = np.repeat(rng.uniform(-6, 6, 40), 50)
    terms = (sf.dynamics.Term("sign(D(y))", lambda y, t: np.sign(y[1]), rates=True),)
    equation = Equation(2, ("y",), (1,), ("u",), terms, False, intersample)
    theta = np.array([-2.0, 1.0, -1.0])
    y = solve(equation, theta, t, u[:, None], np.zeros(2))[:, 0] + 1e-3 * rng.standard_normal(2000)
    data = pd.DataFrame({"t": t, "y": y, "u": u})
    model = sf.DerivativeRegression.from_formula("D(y, 2) ~ D(y) + u + sign(D(y)) - 1", data, t="t", intersample=intersample)
    res = model.fit("integral")
    np.testing.assert_allclose(res.coefficients, theta, rtol=0.06)
    without = sf.DerivativeRegression.from_formula("D(y, 2) ~ D(y) + u - 1", data, t="t", intersample=intersample)
    without = without.fit("integral", weights="ols")
    assert abs(without.coefficients[0] - theta[0]) > 3 * abs(res.coefficients[0] - theta[0])  # friction passes for damping


def test_a_motor_with_coulomb_friction_by_formula_is_near_or_warns():
    from smoothfit.dynamics.nonlinear import solve

    rng = np.random.default_rng(0)
    t = np.arange(2000) * 0.01
    u = np.repeat(rng.uniform(-6, 6, 40), 50)
    terms = (sf.dynamics.Term("sign(D(y))", lambda y, t: np.sign(y[1]), rates=True),)
    theta = np.array([-2.0, 1.0, -1.0, 0.0])
    y = solve(Equation(2, ("y",), (1,), ("u",), terms), theta, t, u[:, None], np.zeros(2))[:, 0]
    df = pd.DataFrame({"time": t, "y": y + 1e-3 * np.ptp(y) * rng.standard_normal(2000), "u": u})
    with pytest.warns(BiasWarning, match="residuals are correlated"):
        res = sf.DerivativeRegression.from_formula("D(y, 2) ~ D(y) + u + sign(D(y))", df, t="time").fit(method="integral")
    np.testing.assert_allclose(res.coefficients, theta, atol=0.05)
    assert "standard errors do not include the error of the smoothing" in " ".join(str(res.summary()).split())


def test_jumps_end_in_an_error_that_names_another_method_or_in_the_truth():
    from smoothfit.dynamics.nonlinear import solve
    from smoothfit.errors import ConvergenceError

    rng = np.random.default_rng(3)
    t = np.arange(600) * 0.02
    u = np.repeat(rng.uniform(-6, 6, 24), 25)
    terms = (sf.dynamics.Term("sign(D(y))", lambda y, t: np.sign(y[1]), rates=True),)
    equation = Equation(2, ("y",), (1,), ("u",), terms, False)
    y = solve(equation, np.array([-2.0, 1.0, -1.0]), t, u[:, None], np.zeros(2))[:, 0] + 1e-3 * rng.standard_normal(600)
    model = sf.DerivativeRegression(y, t, u, order=2, terms=terms, intercept=False, derivatives=(1,))
    try:
        res = model.fit("output_error")
    except ConvergenceError as error:
        assert 'use method="integral"' in str(error)  # noqa: PT017
    else:
        np.testing.assert_allclose(res.coefficients, [-2.0, 1.0, -1.0], rtol=0.05)


@pytest.mark.parametrize("order", [1, 2])
def test_weak_is_generalised_least_squares_on_its_tests(order):
    """Against dense matrices: the estimating equations of its own weights hold at the estimate."""
    from smoothfit.dynamics.methods.weak import test_functions as functions_of
    from smoothfit.dynamics.regressing import polynomial, relation_of

    model = long_sample(order, "zoh", 0.0)
    res = model.fit("weak")
    relation, rows = relation_of(model.problem)
    psi, J = relation.psi(res.coefficients), relation.jacobian(res.coefficients)
    A = polynomial(psi, order)
    score, information = 0.0, 0.0
    for run in range(3):
        at = np.flatnonzero(rows.run == run)
        n = len(at)
        for part in np.array_split(at, -(-n // 500)):
            phi = functions_of(len(part))
            noise = np.zeros((len(part), len(part) + order))
            for j, a in enumerate(A):
                noise[np.arange(len(part)), np.arange(len(part)) + order - j] += a
            S = phi @ noise @ noise.T @ phi.T
            design = phi @ rows.design[part] @ J
            score = score + design.T @ np.linalg.solve(S, phi @ (rows.target[part] - rows.design[part] @ psi))
            information = information + design.T @ np.linalg.solve(S, design)
    cov = np.linalg.inv(information) * res.fitted.sigma2[0]
    np.testing.assert_allclose(res.cov_params(), cov, rtol=1e-4, atol=1e-10)
    step = np.linalg.solve(information, score)
    assert (np.abs(step) < 1e-4 * res.bse).all()


@pytest.mark.parametrize("poles", [[-1.0], [-0.3 + 2j, -0.3 - 2j], [-1.2, -0.4 + 1.5j, -0.4 - 1.5j]])
@pytest.mark.parametrize("share", [1e-15, 1e-9, 1e-5, 0.1, 0.7, 1 - 1e-4, 1 - 1e-10])
def test_the_moving_average_of_armax_is_the_spectral_factor(poles, share):
    # By roots of the autocovariances in 60 digits: poles near one make clusters of 2 m roots, which double precision cannot part.
    import mpmath as mp

    from smoothfit.dynamics.moving_average import moving_average
    from smoothfit.dynamics.relation import Relation

    m = len(poles)
    relation = Relation(Equation(m, ("y",), tuple(range(m)), (), (), False), 0.05)
    theta = -np.poly(poles).real[1:][::-1]
    d = relation.discrete(theta)
    phi, first = relation.polynomial(d.T[0])
    with mp.workdps(60):
        Q, rows = mp.matrix(d.Q[0, 0].tolist()), [mp.matrix(row.tolist()) for row in first]
        A = [mp.mpf(1), *(-mp.mpf(float(value)) for value in phi)]
        process, readings = sum((row.T * Q * row)[0] for row in rows), sum(a * a for a in A)
        gamma = []
        for k in range(-m, m + 1):
            of_process = sum((rows[j].T * Q * rows[j + k])[0] for j in range(m) if 0 <= j + k < m)
            of_readings = sum(A[j] * A[j + k] for j in range(m + 1) if 0 <= j + k <= m)
            gamma.append(mp.mpf(share) / process * of_process + (1 - mp.mpf(share)) / readings * of_readings)
        inside = sorted(mp.polyroots(gamma, asc=True, maxsteps=500, extraprec=400), key=abs)[:m]
        factor = [mp.mpf(1)]
        for root in inside:
            factor = [(factor[i] if i < len(factor) else 0) - root * (factor[i - 1] if i else 0) for i in range(len(factor) + 1)]
        exact = [float(mp.re(value)) for value in factor[1:]]
    np.testing.assert_allclose(moving_average(relation, theta, share), exact, atol=1e-12)


@pytest.mark.parametrize("q", [0.0, 0.5])
def test_armax_of_order_three_is_the_likelihood_given_the_first_readings(q):
    rng = np.random.default_rng(4)
    t = np.arange(1000) * 0.05
    u = held(rng, 1000, 10)
    y = solution([-3.0, -5.0, -2.0, 3.0, 0.7], t, u, 3, q=q, rng=rng)[:, 0] + 0.02 * rng.standard_normal(1000)
    model = sf.DerivativeRegression(y, t, u, order=3)
    armax, kalman = model.fit("armax"), model.fit("kalman")
    # They differ by what the first three observations tell of the initial state.
    assert (np.abs(armax.coefficients - kalman.coefficients) < 0.1 * kalman.bse.iloc[:5]).all()
    np.testing.assert_allclose(armax.bse.iloc[:5], kalman.bse.iloc[:5], rtol=0.05)

"""The engine of penalised bases against dense covariances of the contrasts, by theta and by its derivatives."""

from functools import cache

import numpy as np
import pytest
from scipy import linalg

import smoothfit as sf
from smoothfit.errors import DataError, ExactSeriesWarning, SpecificationError
from smoothfit.regression.band import pack
from smoothfit.regression.products import rows_at, rows_over

CURVE = sf.BSplineBasis.uniform(0, 2, 6)
SURFACE = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 1, 3), sf.BSplineBasis.uniform(0, 1, 2))
BENT, BOTH = sf.DerivativePenalty(2), sf.DerivativePenalty(1) + sf.DerivativePenalty(3)
OF_SURFACE = sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)
LEVEL = 1.0  # of the equality


def curve(n=30, seed=0, known=False):
    """Levels and slopes with unknown noise SDs; with `known`, also means with a known one."""
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(0, 2, (2, n))
    obs = sf.observe(x, np.sin(3 * x) + 0.1 * rng.standard_normal(n), weights=rng.uniform(0.5, 2, n), name="level")
    obs += sf.observe(z, 3 * np.cos(3 * z) + 0.5 * rng.standard_normal(n), deriv=1, name="slope")
    if known:
        low = rng.uniform(0, 1.5, n)
        means = (np.cos(3 * low) - np.cos(3 * low + 1.2)) / 1.2
        obs += sf.observe_integral(low, low + 0.4, means + 0.05 * rng.standard_normal(n), mean=True, sd=0.05, name="mean")
    return obs


def surface(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X, Z = rng.uniform(0, 1, (2, n, 2))
    obs = sf.observe(X, np.sin(3 * X[:, 0]) * X[:, 1] ** 2 + 0.05 * rng.standard_normal(n), name="height")
    return obs + sf.observe(Z, 2 * np.sin(3 * Z[:, 0]) * Z[:, 1] + 0.1 * rng.standard_normal(n), deriv=(0, 1), sd=0.1, name="slope")


# observations, basis, penalty, constraints, options of the fit, names of theta
CASES = {
    "one variance": (sf.observe(curve()["level"].x, curve()["level"].y), CURVE, BENT, (), {}, ("lam",)),
    "ratios": (curve(), CURVE, BENT, (), {}, ("lam", "sigma2.slope / sigma2.level")),
    "known and unknown": (curve(known=True), CURVE, BENT, (), {}, ("tau", "sigma2.level", "sigma2.slope")),
    "two penalties": (curve(), CURVE, BOTH, (), {}, ("lam[0]", "lam[1]", "sigma2.slope / sigma2.level")),
    "two penalties, known": (curve(known=True), CURVE, BOTH, (), {}, ("tau[0]", "tau[1]", "sigma2.level", "sigma2.slope")),
    "equality": (curve(), CURVE, BOTH, sf.Equals(0.5, LEVEL), {}, ("lam[0]", "lam[1]", "sigma2.slope / sigma2.level")),
    "fixed lam": (curve(known=True), CURVE, BOTH, (), {"lam": [1e-3, 1e-4]}, ("sigma2.level", "sigma2.slope")),
    "fixed lam, ratio": (curve(), CURVE, BENT, (), {"lam": 1e-3}, ("sigma2.slope / sigma2.level",)),
    "no penalty": (curve(), CURVE, None, (), {}, ("sigma2.slope / sigma2.level",)),
    "all known": (sf.observe(curve()["level"].x, curve()["level"].y, sd=0.1), CURVE, BOTH, (), {}, ("lam[0]", "lam[1]")),
    "surface": (surface(), SURFACE, OF_SURFACE, (), {}, ("tau[0]", "tau[1]", "sigma2.height")),
}


@cache
def fitted(case):
    obs, basis, penalty, constraints, options, _ = CASES[case]
    return sf.SplineRegression(obs, basis, penalty, constraints).fit(**options)


def rows_of(obs, basis):
    """Rows (n, K) of all observations, from the basis alone."""
    parts = []
    for reading in obs.readings:
        if isinstance(basis, sf.TensorProductBasis):
            parts += [basis.design(x[None], tuple(k), sparse=False) for x, k in zip(reading.X, reading.deriv, strict=True)]
        elif reading.upper is None:
            parts.append(basis.design(reading.x, reading.deriv, sparse=False))
        else:
            parts.append(basis.integral(reading.x, reading.upper) / (reading.upper - reading.x)[:, None])
    return np.vstack(parts)


class Twin:
    """The density of the contrasts, with covariance K = V + B C B', C the inverse of the penalty beside what it leaves free."""

    def __init__(self, case, theta):
        obs, basis, penalty, constraints, options, _ = CASES[case]
        self.B, self.y, K = rows_of(obs, basis), obs.y.copy(), basis.n_basis
        self.columns, self.origin = np.eye(K), np.zeros(K)
        if constraints:  # about the constant that satisfies it, which no penalty touches
            self.columns, self.origin = linalg.null_space(basis.design(np.array([0.5]), sparse=False)), np.full(K, LEVEL)
            self.y = self.y - self.B @ self.origin
        terms = getattr(penalty, "penalties", (penalty,) if penalty else ())
        P = [self.columns.T @ term.matrix(basis).toarray() @ self.columns for term in terms]
        self.B = self.B @ self.columns
        sizes = [len(reading) for reading in obs.readings]
        index, ratio = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([r.variance_ratio for r in obs.readings])
        D = [np.where(index == i, ratio, 0.0) for i in range(len(sizes))]
        is_unknown = [reading.sd is None for reading in obs.readings]
        self.relative = all(is_unknown)
        log_tau, log_sigma2, self.jacobian = logs_of(theta, len(P), is_unknown, options.get("lam"))
        tau, sigma2 = np.exp(log_tau), np.exp(log_sigma2)
        # what no penalty touches, and the prior covariance of the rest
        d = len(self.columns.T)
        scaled = sum((own / np.linalg.norm(own) for own in P), np.zeros((d, d)))
        values, axes = np.linalg.eigh(scaled)
        kept = values > 1e-10 * max(values[-1], 1e-300)
        U, N = axes[:, kept], axes[:, ~kept]
        self.S = sum((t * own for t, own in zip(tau, P, strict=True)), np.zeros((d, d)))
        C = U @ np.linalg.solve(U.T @ self.S @ U, U.T) if kept.any() else np.zeros((d, d))
        self.v = sum(s * own for s, own in zip(sigma2, D, strict=True))
        K = np.diag(self.v) + self.B @ C @ self.B.T
        Z = linalg.null_space((self.B @ N).T)
        self.count = Z.shape[1]
        contrasts = Z.T @ K @ Z
        self.log_det = np.linalg.slogdet(contrasts)[1]
        self.P = Z @ np.linalg.solve(contrasts, Z.T)
        a = self.P @ self.y
        self.sse = self.y @ a
        # derivatives of K by all logarithms, then of both terms
        pieces = [t * own for t, own in zip(tau, P, strict=True)]
        first = [-self.B @ C @ own @ C @ self.B.T for own in pieces]
        first += [np.diag(s * own) for s, own, unknown in zip(sigma2, D, is_unknown, strict=True) if unknown]
        q = len(first)
        second = np.zeros((q, q, *K.shape))
        for i in range(q):
            second[i, i] = first[i]
        for i, one in enumerate(pieces):
            for j, other in enumerate(pieces):
                term = self.B @ C @ one @ C @ other @ C @ self.B.T
                second[i, j] += term + term.T
        J = self.jacobian
        by = [self.P @ own for own in first]
        self.traces = J @ np.array([[np.sum(one * other.T) for other in by] for one in by]) @ J.T
        trace2 = np.array([[np.sum(self.P * second[i, j]) for j in range(q)] for i in range(q)])
        form2 = np.array([[2 * a @ first[i] @ self.P @ first[j] @ a - a @ second[i, j] @ a for j in range(q)] for i in range(q)])
        self.log_det_gradient = J @ np.array([np.trace(own) for own in by])
        self.log_det_hessian = J @ trace2 @ J.T - self.traces
        self.sse_gradient = J @ np.array([-a @ own @ a for own in first])
        self.sse_hessian = J @ form2 @ J.T

    @property
    def information(self):
        slope = self.log_det_gradient
        return (self.traces - self.relative * np.outer(slope, slope) / self.count) / 2

    def posterior(self, rows):
        """Mean and covariance of rows of coefficients, by the normal equations."""
        A = self.B.T @ (self.B / self.v[:, None]) + self.S
        own = rows @ self.columns
        solved = np.linalg.solve(A, np.column_stack([self.B.T @ (self.y / self.v), own.T]))
        return rows @ self.origin + own @ solved[:, 0], own @ solved[:, 1:]

    @property
    def leverages(self):
        A = self.B.T @ (self.B / self.v[:, None]) + self.S
        return np.sum(self.B * np.linalg.solve(A, self.B.T).T, axis=1) / self.v


def logs_of(theta, n_penalties, is_unknown, lam):
    """Logarithms of weights and of all variances at theta, and the derivatives (p, q) of those that are unknown."""
    P, G, relative = n_penalties, len(is_unknown), all(is_unknown)
    unknown = np.flatnonzero(is_unknown)
    log_sigma2, by = np.zeros(G), []
    entries = iter(theta)
    log_tau = np.zeros(P)
    if lam is None:
        for j in range(P):
            log_tau[j] = next(entries)
            by.append(np.eye(P + len(unknown))[j])
    for u, g in enumerate(unknown):
        if u > 0 or not relative:
            log_sigma2[g] = next(entries)
            by.append(np.eye(P + len(unknown))[P + u])
    if lam is not None:
        log_tau = np.log(np.atleast_1d(lam)) - log_sigma2[unknown[0]]
        if not relative:
            by[0][:P] = -1.0
    return log_tau, log_sigma2, np.array(by)


def around(case, L=3):
    """The engine of a fit, and points near the optimum, where no variance is far below another: condition of K up to 1e5."""
    res = fitted(case)
    engine, centre = res._fit.engine, res._fit.theta_hat
    rng = np.random.default_rng(1)
    inside = np.clip(centre, np.log(1e-4), np.log(1e2))
    return res, engine, inside + rng.uniform(-1, 1, (L, len(centre)))


@pytest.mark.parametrize("case", CASES)
def test_terms_and_their_derivatives_are_those_of_the_contrasts(case):
    _, engine, theta = around(case)
    assert engine.names == CASES[case][-1]
    terms, values = engine.terms(theta, 2), engine.terms(theta)
    twins = [Twin(case, at) for at in theta]
    assert (engine.count, engine.relative) == (twins[0].count, twins[0].relative)
    for i, twin in enumerate(twins):
        # the log-determinant counts from a constant; rounding of the twin: its condition, some 1e5
        shift = terms.log_det.value[0] - twins[0].log_det
        assert terms.log_det.value[i] - shift == pytest.approx(twin.log_det, abs=1e-9)
        assert terms.sse.value[i] == pytest.approx(twin.sse, rel=1e-9)
        for ours, theirs in ((terms.log_det, "log_det"), (terms.sse, "sse")):
            size = max(1.0, abs(getattr(twin, theirs)))
            np.testing.assert_allclose(ours.gradient[i], getattr(twin, f"{theirs}_gradient"), rtol=1e-8, atol=1e-9 * size)
            np.testing.assert_allclose(ours.hessian[i], getattr(twin, f"{theirs}_hessian"), rtol=1e-7, atol=1e-8 * size)
    np.testing.assert_allclose(values.log_det.value, terms.log_det.value, rtol=1e-12)
    np.testing.assert_allclose(values.sse.value, terms.sse.value, rtol=1e-12)
    assert values.log_det.gradient is None
    assert engine.terms(theta, 1).sse.hessian is None


@pytest.mark.parametrize("case", CASES)
def test_scores_are_the_slopes_of_the_values(case):
    _, engine, theta = around(case, 1)
    step = 1e-4 * np.eye(theta.shape[1])  # truncation 1e-8, rounding 1e-12 of the values
    terms, above, below = engine.terms(theta, 1), engine.terms(theta + step), engine.terms(theta - step)
    for ours, high, low in zip(terms, above, below, strict=True):
        np.testing.assert_allclose(ours.gradient[0], (high.value - low.value) / 2e-4, rtol=1e-6, atol=1e-7 * abs(ours.value[0]))


@pytest.mark.parametrize("case", CASES)
def test_information_is_expected(case):
    _, engine, theta = around(case)
    for own, at in zip(engine.information(theta), theta, strict=True):
        np.testing.assert_allclose(own, Twin(case, at).information, rtol=1e-8, atol=1e-8)
        assert np.linalg.eigvalsh(own).min() > 0


@pytest.mark.parametrize("case", CASES)
def test_the_optimum_is_where_the_score_vanishes(case):
    res, engine, _ = around(case)
    theta = res._fit.theta_hat
    assert (engine.lower < theta).all()
    assert (theta < engine.upper).all()
    assert res._fit.theta_boundary == ()
    log_det, sse = engine.terms(theta[None], 1)
    s2 = sse.value[0] / engine.count if engine.relative else 1.0
    np.testing.assert_allclose(log_det.gradient[0] + sse.gradient[0] / s2, 0, atol=1e-4)  # decrements of 1e-8
    if engine.relative:
        assert s2 == pytest.approx(res.scale, rel=1e-7)


def functionals(basis):
    """Rows of values, derivatives, an integral and a difference, as the engine takes them and dense."""
    x = np.array([0.1, 0.7, 0.95])
    if isinstance(basis, sf.TensorProductBasis):
        X = np.column_stack([x, x[::-1]])
        kinds = [rows_at(basis, X, (0, 0)), rows_at(basis, X, (1, 1)), rows_over(basis, X / 2, X)]
        return [(own, own.dense(basis.n_basis)) for own in kinds]
    difference = basis.design(x + 1, sparse=True) - basis.design(x, sparse=True)
    kinds = [pack(own) for own in (basis.design(x), basis.design(x, 2), basis.integral(x, x + 1, sparse=True), difference)]
    return [(own, own.dense(basis.n_basis)) for own in kinds]


@pytest.mark.parametrize("case", CASES)
def test_moments_and_draws_are_those_of_the_normal_equations(case):
    _, engine, theta = around(case)
    for rows, dense in functionals(CASES[case][1]):
        moments = engine.moments(theta, rows)
        for i, at in enumerate(theta):
            mean, cov = Twin(case, at).posterior(dense)
            sd = np.sqrt(np.diag(cov))
            np.testing.assert_allclose((moments.mean[i] - mean) / sd, 0, atol=1e-7)  # condition of A: 1e8
            np.testing.assert_allclose(moments.variance[i], sd**2, rtol=1e-7)
            # draws of unit vectors show their root
            drawn = engine.draws(at, rows)(UnitVectors(), engine.system.size)
            np.testing.assert_allclose(drawn.T @ drawn / np.outer(sd, sd), cov / np.outer(sd, sd), atol=1e-7)


class UnitVectors:
    def standard_normal(self, shape):
        return np.eye(*shape)


def test_draws_are_about_the_means_and_repeat():
    _, engine, theta = around("ratios")
    rows = functionals(CURVE)[0][0]
    draws = [engine.draws(at, rows) for at in theta]
    drawn = np.array([draw(np.random.default_rng(0), 4000) for draw in draws])
    assert drawn.shape == (len(theta), 4000, rows.n)
    variance = engine.moments(theta, rows).variance
    np.testing.assert_allclose(drawn.mean(axis=1) / np.sqrt(variance / 4000), 0, atol=4)
    np.testing.assert_allclose(drawn.var(axis=1) / variance, 1, atol=4 * np.sqrt(2 / 4000))
    np.testing.assert_array_equal(drawn, [draw(np.random.default_rng(0), 4000) for draw in draws])


@pytest.mark.parametrize("case", CASES)
def test_leverages_are_those_of_the_normal_equations_and_of_the_fit(case):
    res, engine, theta = around(case)
    for own, at in zip(engine.leverages(theta), theta, strict=True):
        np.testing.assert_allclose(own, Twin(case, at).leverages, rtol=1e-7)
    np.testing.assert_allclose(engine.leverages(res._fit.theta_hat[None])[0], res._leverage, rtol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_a_stream_is_the_fit_to_everything_at_the_same_theta(case):
    obs, basis, penalty, constraints, options, _ = CASES[case]
    _, engine, theta = around(case, 1)
    if len(obs.names) == 1:
        level = curve(seed=5)["level"]
        more = sf.observe(level.x, level.y, sd=None if obs.readings[0].sd is None else 0.2, name=obs.names[0])
    else:
        more = surface(seed=5) if isinstance(basis, sf.TensorProductBasis) else curve(seed=5, known="mean" in obs.names)
    joined = sf.SplineRegression(obs + more, basis, penalty, constraints).fit(**options)._fit.engine
    stream = engine.stream(theta[0])
    for rows, _ in functionals(basis):
        before, now = engine.moments(theta, rows), stream.moments(rows)
        np.testing.assert_allclose(now.mean, before.mean, rtol=1e-9)
        np.testing.assert_allclose(now.variance, before.variance, rtol=1e-9)
    stream.append(more)
    for rows, _ in functionals(basis):
        expected, now = joined.moments(theta, rows), stream.moments(rows)
        np.testing.assert_allclose((now.mean - expected.mean) / np.sqrt(expected.variance), 0, atol=1e-7)
        np.testing.assert_allclose(now.variance, expected.variance, rtol=1e-7)


def test_a_stream_takes_rows_wider_than_those_of_the_fit():
    _, engine, theta = around("known and unknown", 1)
    stream, whole = engine.stream(theta[0]), pack(CURVE.integral(np.array([0.0]), np.array([2.0]), sparse=True))
    before = stream.moments(whole).variance[0, 0]
    stream.append(sf.observe_integral([0.0], [2.0], [1.0], sd=0.1))
    assert stream.moments(whole).variance[0, 0] == pytest.approx(1 / (1 / before + 100), rel=1e-9)


def test_streams_refuse_what_they_cannot_weigh():
    _, engine, theta = around("ratios", 1)
    stream = engine.stream(theta[0])
    with pytest.raises(SpecificationError, match="'other' has no SD, and the fit estimated none"):
        stream.append(sf.observe([0.5], [1.0], name="other"))
    with pytest.raises(SpecificationError, match="'level' has a known noise SD, and the fit has none"):
        stream.append(sf.observe([0.5], [1.0], sd=0.1, name="level"))
    with pytest.raises(DataError, match="x holds datetime"):
        stream.append(sf.observe(np.array(["2020-01-01"], "M8[s]"), [1.0], name="level"))
    correlated = sf.SplineRegression(level(), CURVE, BENT, errors=sf.regression.AR1(0.3)).fit()
    with pytest.raises(SpecificationError, match="errors of the fit are correlated"):
        correlated._fit.engine.stream(correlated._fit.theta_hat).append(level())


def level():
    x = np.linspace(0, 2, 40)
    return sf.observe(x, np.sin(3 * x) + 0.1 * np.random.default_rng(0).standard_normal(40), name="level")


def test_infinite_weights_and_sds_of_zero_are_at_bounds():
    x = np.linspace(0, 2, 40)
    noise = np.random.default_rng(1).standard_normal(40)
    line = sf.SplineRegression(sf.observe(x, 1 + 2 * x + noise), CURVE, BENT).fit()
    assert np.isinf(line.lam)
    fit = line._fit
    assert fit.theta_boundary == ("lam",)
    assert fit.theta_hat == fit.engine.upper
    at = pack(CURVE.design(x))
    np.testing.assert_allclose(fit.engine.moments(fit.theta_hat[None], at).mean[0], line.fittedvalues, atol=1e-5)
    # a series without noise beside a noisy one: its variance, to which the other is relative, is zero
    exact = sf.observe(x, np.sin(3 * x) + 0.1 * noise, name="noisy") + sf.observe(x[::8], np.sin(3 * x[::8]), name="exact")
    with pytest.warns(ExactSeriesWarning):
        fit = sf.SplineRegression(exact, CURVE, BENT).fit()._fit
    assert fit.estimate.boundary == ("exact",)
    assert fit.theta_boundary == ("sigma2.exact / sigma2.noisy",)


def test_scaled_moments_at_the_optimum_are_those_of_the_fit():
    for case in ("one variance", "known and unknown", "surface"):
        res, engine, _ = around(case)
        rows, _ = functionals(CASES[case][1])[0]
        x = np.array([0.1, 0.7, 0.95])
        prediction = res.get_prediction(x if case != "surface" else np.column_stack([x, x[::-1]]))
        moments = engine.moments(res._fit.theta_hat[None], rows)
        np.testing.assert_allclose(moments.mean[0], prediction.predicted_mean, rtol=1e-8)
        s2 = res.scale if engine.relative else 1.0
        np.testing.assert_allclose(moments.variance[0] * s2, res._fit.cov.variance(rows), rtol=1e-7)


def test_the_engine_of_a_robust_fit_has_its_last_weights():
    obs = level()
    y = obs.y.copy()
    y[7] += 3.0
    res = sf.SplineRegression(sf.observe(obs.x, y, name="level"), CURVE, BENT).fit(loss="bisquare")
    engine = res._fit.engine
    assert res.loss_weights[7] == 0.0
    leverages = engine.leverages(res._fit.theta_hat[None])[0]
    assert leverages[7] == 0.0
    np.testing.assert_allclose(leverages, res._leverage, rtol=1e-7)
    kept = np.arange(40) != 7  # at the same weights: the fit without the outlier
    weights = res.loss_weights[kept]
    without = sf.SplineRegression(sf.observe(obs.x[kept], y[kept], weights=weights), CURVE, BENT).fit()._fit.engine
    for ours, theirs in zip(engine.terms(np.array([[0.0]]), 2).sse, without.terms(np.array([[0.0]]), 2).sse, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("sd", [None, 0.1])
@pytest.mark.parametrize(("penalty", "options"), [(BENT, {"lam": 1e-3}), (BENT, {"edf": 5.0}), (None, {})])
def test_theta_may_be_empty(sd, penalty, options):
    res = sf.SplineRegression(sf.observe(level().x, level().y, sd=sd), CURVE, penalty).fit(**options)
    engine, theta = res._fit.engine, np.zeros((2, 0))
    assert engine.names == res._fit.theta_boundary == ()
    assert res._fit.theta_hat.shape == engine.lower.shape == engine.upper.shape == (0,)
    for order in (0, 2):
        sse = engine.terms(theta, order).sse.value
        np.testing.assert_allclose(sse, sse[0])
        if engine.relative and penalty is None:
            np.testing.assert_allclose(sse, np.sum(res.resid**2), rtol=1e-10)
    assert engine.terms(theta, 2).log_det.hessian.shape == engine.information(theta).shape == (2, 0, 0)
    moments = engine.moments(theta, pack(CURVE.design(res.observations.x)))
    np.testing.assert_allclose(moments.mean[1], res.fittedvalues, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(engine.leverages(theta)[0], res._leverage, rtol=1e-9)


def test_theta_where_coefficients_are_undetermined_has_no_terms():
    x = np.array([0.2, 0.4, 1.7, 1.9])  # fewer than functions: at lam = 0 nothing determines them
    res = sf.SplineRegression(sf.observe(x, x**2, sd=0.1), CURVE, BENT).fit(lam=1.0)
    engine = res._fit.engine
    free = type(engine)(engine.rows, engine.system)
    terms = free.terms(np.array([[-800.0], [0.0]]), 2)
    assert np.isnan(terms.log_det.value[0])
    assert np.isnan(terms.sse.hessian[0]).all()
    assert np.isfinite(terms.log_det.value[1])
    assert np.isnan(free.terms(np.array([[-800.0], [0.0]])).sse.value[0])

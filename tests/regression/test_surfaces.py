"""Surfaces: tensor product bases, observations of values, partial derivatives and boxes, by the same code as curves.

The dense route: design and penalties from the bases as matrices, the restricted likelihood of y = B c + e with c normal on the
range of the penalty, in plain linear algebra.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid
from scipy.optimize import minimize

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError

RNG = np.random.default_rng(2)
B0, B1 = sf.BSplineBasis.uniform(0, 2, 5), sf.BSplineBasis.from_data(RNG.uniform(0, 1, 60) ** 2, df=6, boundary=(0, 1))
BASIS = sf.TensorProductBasis(B0, B1)
BENT, BOTH = sf.DerivativePenalty(2), sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)
GRID = np.stack(np.meshgrid(np.linspace(0, 2, 9), np.linspace(0, 1, 8), indexing="ij"), axis=-1)


def f(X, deriv=(0, 0)):
    x, y = np.asarray(X, dtype=float).T
    a = [np.sin(2 * x), 2 * np.cos(2 * x), -4 * np.sin(2 * x)][deriv[0]]
    b = [np.exp(y), np.exp(y)][deriv[1]] if sum(deriv) else np.exp(y)
    return a * b


def points(n, seed=0):
    return np.random.default_rng(seed).uniform([0, 0], [2, 1], (n, 2))


def readings(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X, Z, low = points(n, seed), points(n, seed + 1), rng.uniform([0, 0], [1.7, 0.8], (20, 2))
    high = low + np.array([0.3, 0.2])
    volume = lambda lo, hi: (np.cos(2 * lo[:, 0]) - np.cos(2 * hi[:, 0])) / 2 * (np.exp(hi[:, 1]) - np.exp(lo[:, 1]))  # noqa: E731
    obs = sf.observe(X, f(X) + 0.1 * rng.standard_normal(n), name="level", weights=rng.uniform(0.5, 2, n))
    obs += sf.observe(Z, f(Z, (1, 0)) + 0.3 * rng.standard_normal(n), deriv=(1, 0), name="slope")
    obs += sf.observe(Z, f(Z, (0, 1)) + 0.2 * rng.standard_normal(n), deriv=(0, 1), sd=0.2, name="other")
    return obs + sf.observe_integral(low, high, volume(low, high) / 0.06 + 0.05 * rng.standard_normal(20), mean=True, sd=0.05)


class Dense:
    """Generalised least squares and the restricted likelihood by matrices."""

    def __init__(self, obs, basis, penalty):
        rows = []
        for reading in obs.readings:
            if reading.upper is None:
                rows += [basis.design(x[None], tuple(k), sparse=False) for x, k in zip(reading.X, reading.deriv, strict=True)]
            else:
                area = np.prod(reading.upper - reading.X, axis=1)[:, None] if reading.mean else 1.0
                rows.append(basis.integral(reading.X, reading.upper) / area)
        self.B = np.vstack(rows)
        self.y = obs.y
        terms = getattr(penalty, "penalties", (penalty,))
        self.P = [term.matrix(basis).toarray() for term in terms]
        self.ratio = np.concatenate([reading.variance_ratio for reading in obs.readings])
        sizes = [len(reading) for reading in obs.readings]
        unknown = [i for i, reading in enumerate(obs.readings) if reading.sd is None]
        index = np.repeat(np.arange(len(sizes)), sizes)
        self.masks = [index == i for i in unknown]

    def variance(self, log_sigma2):
        v = self.ratio.copy()
        for mask, log in zip(self.masks, log_sigma2, strict=True):
            v[mask] *= np.exp(log)
        return v

    def solve(self, log_tau, log_sigma2):
        v = self.variance(log_sigma2)
        S = sum(np.exp(t) * P for t, P in zip(log_tau, self.P, strict=True))
        A = self.B.T @ (self.B / v[:, None]) + S
        c = np.linalg.solve(A, self.B.T @ (self.y / v))
        return A, S, v, c

    def deviance(self, theta):
        A, S, v, c = self.solve(theta[: len(self.P)], theta[len(self.P) :])
        scaled = sum(P / np.linalg.norm(P) for P in self.P)
        values, axes = np.linalg.eigh(scaled)
        kept = values > 1e-10 * values[-1]
        U, N = axes[:, kept], axes[:, ~kept]
        logdet = lambda M: np.linalg.slogdet(M)[1]  # noqa: E731
        least = np.sum((self.y - self.B @ c) ** 2 / v) + c @ S @ c
        m = len(self.y) - N.shape[1]
        return (
            m * np.log(2 * np.pi) + np.log(v).sum() + logdet(A) - logdet(U.T @ S @ U) - logdet((self.B @ N).T @ self.B @ N) + least
        )


@pytest.mark.parametrize("penalty", [BENT, BOTH, sf.DerivativePenalty(3) + sf.DerivativePenalty(1, axis=1)])
def test_everything_at_given_weights_is_that_of_matrices(penalty):
    obs = readings()
    dense = Dense(obs, BASIS, penalty)
    lam = [1e-3, 2e-4][: len(dense.P)]
    res = sf.SplineRegression(obs, BASIS, penalty).fit(lam=lam)
    logs = np.log(res._fit.estimate.tau), 2 * np.log(res.sigma[["level", "slope"]])
    A, _, v, c = dense.solve(*logs)
    np.testing.assert_allclose(res.params, c, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(res.cov_params(), np.linalg.inv(A), rtol=1e-7, atol=1e-9 * np.linalg.inv(A).max())
    assert res.llf == pytest.approx(-dense.deviance(np.concatenate(logs)) / 2, rel=1e-10)
    hat = np.einsum("ij,ji->i", dense.B, np.linalg.solve(A, dense.B.T / v))
    np.testing.assert_allclose(res._leverage, hat, rtol=1e-8, atol=1e-12)
    assert res.edf == pytest.approx(hat.sum(), rel=1e-9)
    np.testing.assert_allclose(res.fittedvalues, dense.B @ c, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(res.loo_resid, (obs.y - dense.B @ c) / (1 - hat), rtol=1e-7, atol=1e-9)
    rows = BASIS.design(GRID.reshape(-1, 2), (1, 1), sparse=False)
    prediction = res.get_prediction(GRID, (1, 1))
    np.testing.assert_allclose(prediction.predicted_mean, rows @ c, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(prediction.se_mean, np.sqrt(np.sum(rows @ np.linalg.inv(A) * rows, axis=1)), rtol=1e-7)
    rss, trace = np.sum((obs.y - dense.B @ c)[dense.masks[1]] ** 2), hat[dense.masks[1]].sum()
    assert res.sigma["slope"] ** 2 == pytest.approx(rss / (dense.masks[1].sum() - trace), rel=1e-6)  # lam is tied to the other name


@pytest.mark.parametrize("penalty", [BENT, BOTH])
def test_restricted_likelihood_is_at_its_maximum(penalty):
    obs = readings()
    dense, res = Dense(obs, BASIS, penalty), sf.SplineRegression(obs, BASIS, penalty).fit()
    theta = np.concatenate([np.log(res._fit.estimate.tau), 2 * np.log(res.sigma[["level", "slope"]])])
    assert dense.deviance(theta) == pytest.approx(-2 * res.llf, rel=1e-10)
    best = minimize(dense.deviance, theta + 0.1, method="BFGS", options={"gtol": 1e-6})
    assert dense.deviance(theta) <= best.fun + 1e-7
    for name, mask in zip(("level", "slope"), dense.masks, strict=True):  # sigma_g^2 = RSS_g / (n_g - tr H_gg)
        rss = np.sum(res.resid[mask] ** 2 / dense.ratio[mask])
        assert res.sigma[name] ** 2 == pytest.approx(rss / (mask.sum() - res._leverage[mask].sum()), rel=1e-4)
    np.testing.assert_allclose(best.x, theta, atol=1e-3)


def test_methods_agree_with_their_formulas():
    obs = readings(200)["level"]
    obs = sf.observe(obs.X, obs.y)
    model = sf.SplineRegression(obs, BASIS, BENT)
    dense = Dense(obs, BASIS, BENT)
    n = len(obs)

    def fit(log_lam):
        _, _, _, c = dense.solve([log_lam], [0.0])
        A = dense.B.T @ dense.B + np.exp(log_lam) * dense.P[0]
        return np.sum((obs.y - dense.B @ c) ** 2), np.trace(np.linalg.solve(A, dense.B.T @ dense.B))

    scores = {
        "gcv": lambda rss, edf: n * rss / (n - edf) ** 2,
        "aicc": lambda rss, edf: np.log(rss / n) + (n + edf) / (n - edf - 2),
    }
    for method, score in scores.items():
        res = model.fit(method)
        at = [score(*fit(np.log(res.lam) + h)) for h in (-0.01, 0, 0.01)]
        assert at[1] < min(at[0], at[2])
        assert abs(at[2] - at[0]) < 1e-2 * (at[2] - 2 * at[1] + at[0])
    assert model.fit(edf=12.5).edf == pytest.approx(12.5, abs=1e-8)
    ml = model.fit("ml")
    assert ml.decrement < 1e-8
    plain = sf.SplineRegression(obs, BASIS).fit()
    np.testing.assert_allclose(plain.params, np.linalg.lstsq(dense.B, obs.y, rcond=None)[0], rtol=1e-8, atol=1e-9)
    for cov_type in ("frequentist", "HC0", "HC3"):
        assert np.isfinite(model.fit(cov_type=cov_type).bse).all()
    groups = np.arange(n) % 20
    clustered = model.fit(lam=1e-3, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    bread = np.linalg.inv(dense.B.T @ dense.B + 1e-3 * dense.P[0])
    scores = dense.B * clustered.resid[:, None]
    sums = np.array([scores[groups == g].sum(axis=0) for g in range(20)])
    np.testing.assert_allclose(clustered.cov_params(), bread @ sums.T @ sums @ bread, rtol=1e-6, atol=1e-12)


def test_products_of_curves_are_fitted_by_products_of_operators():
    """On a grid, with the Kronecker product of two penalised operators for a penalty left out, the fit is their product."""
    x, y = np.linspace(0, 2, 30), np.linspace(0, 1, 25)
    X = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    Y = RNG.standard_normal((30, 25))
    res = sf.SplineRegression(sf.observe(X, Y.ravel(), sd=1.0), BASIS).fit()
    hats = []
    for basis, at in ((B0, x), (B1, y)):
        D = basis.design(at, sparse=False)
        hats.append(D @ np.linalg.solve(D.T @ D, D.T))
    np.testing.assert_allclose(res.fittedvalues.reshape(Y.shape), hats[0] @ Y @ hats[1].T, atol=1e-10)
    assert res.edf == pytest.approx(BASIS.n_basis)


def test_polynomials_that_no_penalty_touches_are_reproduced():
    X = points(80)
    plane = lambda Z, k=(0, 0): {(0, 0): 1 + 2 * Z[..., 0] - 3 * Z[..., 1], (1, 0): 2.0, (0, 1): -3.0}[k]  # noqa: E731
    obs = sf.observe(X, plane(X), sd=0.1) + sf.observe(X, np.full(80, 2.0), deriv=(1, 0), sd=0.1)
    for penalty in (BENT, BOTH):
        res = sf.SplineRegression(obs, BASIS, penalty).fit(lam=1.0 if penalty is BENT else [1.0, 5.0])
        np.testing.assert_allclose(res.predict(GRID), plane(GRID), atol=1e-9)
        np.testing.assert_allclose(res.gradient(GRID), np.broadcast_to([2.0, -3.0], GRID.shape), atol=1e-8)
    twisted = sf.observe(X, X[:, 0] * X[:, 1], sd=0.1)
    res = sf.SplineRegression(twisted, BASIS, BOTH).fit(lam=[1.0, 1.0])
    np.testing.assert_allclose(res.predict(GRID), GRID[..., 0] * GRID[..., 1], atol=1e-9)


EVEN, UNEVEN = sf.BSplineBasis.uniform(0, 1, 9), sf.BSplineBasis.from_data(np.exp(RNG.standard_normal(200)), df=12)
STIFF = sf.BSplineBasis.uniform(0, 1, 7, degree=5)


@pytest.mark.parametrize(
    ("factors", "penalty", "free"),
    [
        ((EVEN, UNEVEN), BENT, 3),
        ((UNEVEN, EVEN), BOTH, 4),
        ((UNEVEN, EVEN), sf.DerivativePenalty(2, axis=0), 24),
        ((EVEN, UNEVEN), sf.DerivativePenalty(2, axis=1), 24),
        ((STIFF, EVEN), sf.DerivativePenalty(3), 6),
        ((STIFF, EVEN), sf.DerivativePenalty(4, axis=0) + sf.DerivativePenalty(3, axis=1), 12),
        ((EVEN, UNEVEN), sf.DifferencePenalty(2, axis=0) + sf.DifferencePenalty(3, axis=1), 6),
        ((EVEN, UNEVEN), BENT + sf.DerivativePenalty(0), 0),
    ],
)
def test_what_penalties_leave_free_and_their_determinants(factors, penalty, free):
    """Log determinants without the rows and columns of the anchors, against an orthogonal factor of the dense root."""
    basis = sf.TensorProductBasis(*factors)
    X = np.random.default_rng(0).uniform(*np.array(basis.domain).T, (400, 2))
    system = sf.SplineRegression(sf.observe(X, X[:, 0], sd=1.0), basis, penalty).specification.system
    assert system.n_free == free
    roots = [term.root(basis).toarray() for term in getattr(penalty, "penalties", (penalty,))]
    M = np.vstack(roots)
    for root in roots:
        assert np.abs(root @ system.free).max(initial=0.0) < 1e-9 * (np.abs(root) @ np.abs(system.free)).max(initial=1e-300)
    kept = np.delete(M, system.anchors, axis=1)
    sizes = np.linalg.norm(kept, axis=0)
    expected = 2 * np.log(np.abs(np.diag(np.linalg.qr(kept / sizes, mode="r")))).sum() + 2 * np.log(sizes).sum()
    assert system.penalty_log_det(np.zeros(len(roots)))[0] == pytest.approx(expected, abs=1e-8)


def test_infinite_weights_leave_what_their_penalty_leaves_free():
    rng = np.random.default_rng(6)
    X = points(150)
    obs = sf.observe(X, np.sin(4 * X[:, 0]) * (1 + X[:, 1]) + 0.1 * rng.standard_normal(150))  # straight along x1
    res = sf.SplineRegression(obs, BASIS, BOTH).fit()
    assert res.boundary == ("lam[1]",)
    assert np.abs(res.predict(GRID, (0, 2))).max() < 1e-8
    line = sf.TensorProductBasis(B0, sf.BSplineBasis([0, 0, 1, 1], degree=1))
    same = sf.SplineRegression(obs, line, sf.DerivativePenalty(2, axis=0)).fit()
    assert res.llf == pytest.approx(same.llf, abs=1e-6)
    np.testing.assert_allclose(res.predict(GRID), same.predict(GRID), atol=1e-6)


def test_units_of_the_variables_change_nothing():
    obs = readings()
    a, b = 8.0, 1 / 64
    scaled = sf.TensorProductBasis(sf.BSplineBasis(B0.knots * a), sf.BSplineBasis(B1.knots * b))
    moved = None
    for r in obs.readings:
        factor = 1.0 if r.upper is not None else a ** -r.deriv[0, 0] * b ** -float(r.deriv[0, 1])
        options = {"sd": None if r.sd is None else r.sd * factor, "weights": r.weights, "name": r.name}
        if r.upper is not None:
            part = sf.observe_integral(r.X * [a, b], r.upper * [a, b], r.y, mean=True, **options)
        else:
            part = sf.observe(r.X * [a, b], r.y * factor, deriv=tuple(r.deriv[0]), **options)
        moved = part if moved is None else moved + part
    one, other = sf.SplineRegression(obs, BASIS, BOTH).fit(), sf.SplineRegression(moved, scaled, BOTH).fit()
    np.testing.assert_allclose(other.predict(GRID * [a, b]), one.predict(GRID), atol=1e-6)
    assert other.edf == pytest.approx(one.edf, abs=1e-5)
    np.testing.assert_allclose(other.predict(GRID * [a, b], (1, 0)) * a, one.predict(GRID, (1, 0)), atol=1e-5)


def test_the_order_of_variables_changes_nothing():
    obs = readings()
    turned = None
    for r in obs.readings:
        options = {"sd": r.sd, "weights": r.weights, "name": r.name}
        if r.upper is not None:
            part = sf.observe_integral(r.X[:, ::-1], r.upper[:, ::-1], r.y, mean=True, **options)
        else:
            part = sf.observe(r.X[:, ::-1], r.y, deriv=tuple(r.deriv[0, ::-1]), **options)
        turned = part if turned is None else turned + part
    swapped = sf.DerivativePenalty(2, axis=1) + sf.DerivativePenalty(2, axis=0)
    one = sf.SplineRegression(obs, BASIS, BOTH).fit()
    other = sf.SplineRegression(turned, sf.TensorProductBasis(B1, B0), swapped).fit()
    assert other.llf == pytest.approx(one.llf, abs=1e-7)
    np.testing.assert_allclose(other.lam, one.lam, rtol=1e-4)
    np.testing.assert_allclose(other.predict(GRID[..., ::-1]), one.predict(GRID), atol=1e-6)


def test_three_variables_and_other_factors():
    rng = np.random.default_rng(3)
    X = rng.uniform(0, 1, (400, 3))
    basis = sf.TensorProductBasis(
        sf.PeriodicBSplineBasis.uniform(0, 1, 5), sf.NaturalSplineBasis.uniform(0, 1, 3), sf.BSplineBasis.uniform(0, 1, 2, degree=2)
    )
    y = np.sin(2 * np.pi * X[:, 0]) * X[:, 1] + X[:, 2]
    obs = sf.observe(X, y + 0.1 * rng.standard_normal(400)) + sf.observe(X, np.ones(400), deriv=(0, 0, 1), sd=0.1)
    penalty = sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)
    dense, res = Dense(obs, basis, penalty), sf.SplineRegression(obs, basis, penalty).fit(lam=[1e-3, 1e-2])
    _, _, _, c = dense.solve(np.log(res._fit.estimate.tau), [2 * np.log(res.sigma["f"])])
    np.testing.assert_allclose(res.params, c, rtol=1e-7, atol=1e-8)
    assert res.llf == pytest.approx(-dense.deviance(np.r_[np.log(res._fit.estimate.tau), 2 * np.log(res.sigma["f"])]) / 2, rel=1e-9)
    assert res.gradient(X[:5]).shape == (5, 3)


def test_chunks_add_up_to_the_fit_at_once():
    obs, whole = readings(300), None
    for start in range(0, 300, 100):
        part = sf.SplineRegression.accumulate(BASIS)
        for r in obs.readings[:3]:
            cut = slice(start, start + 100)
            sd, weights = (None if v is None else v[cut] for v in (r.sd, r.weights))
            part.add(sf.observe(r.X[cut], r.y[cut], deriv=tuple(r.deriv[0]), sd=sd, weights=weights, name=r.name))
        whole = part if whole is None else whole + part
    r = obs.readings[3]
    whole.add(sf.observe_integral(r.X, r.upper, r.y, mean=True, sd=r.sd))
    one, other = whole.model(BOTH).fit(), sf.SplineRegression(obs, BASIS, BOTH).fit()
    np.testing.assert_allclose(one.params, other.params, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(one.sigma, other.sigma, rtol=1e-7)
    assert one.llf == pytest.approx(other.llf, rel=1e-9)
    assert "320" in str(len(obs)) or len(obs) == one.nobs
    assert "df/dx0" in one.summary().as_text()
    with pytest.raises(SpecificationError, match="keeps no observations"):
        _ = one.resid


def test_many_readings_of_a_cell_are_reduced_without_loss(monkeypatch):
    rng = np.random.default_rng(1)
    X = points(5000)
    obs = sf.observe(X, f(X) + 0.1 * rng.standard_normal(5000))
    dense, res = Dense(obs, BASIS, BENT), sf.SplineRegression(obs, BASIS, BENT).fit(lam=1e-2)
    _, _, _, c = dense.solve(np.log(res._fit.estimate.tau), [2 * np.log(res.sigma["f"])])
    np.testing.assert_allclose(res.params, c, rtol=1e-8, atol=1e-9)
    monkeypatch.setattr("smoothfit.regression.products.MOST_ENTRIES", 2000)
    chunked = sf.SplineRegression(obs, BASIS, BENT).fit(lam=1e-2)
    np.testing.assert_allclose(chunked.params, c, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(chunked._leverage, res._leverage, rtol=1e-9)


@pytest.fixture(scope="module")
def fitted():
    return sf.SplineRegression(readings(), BASIS, BOTH).fit()


def test_predictions_in_any_container(fitted):
    frame = pd.DataFrame({"x1": GRID[..., 1].ravel(), "x0": GRID[..., 0].ravel(), "other": 1.0})
    values = fitted.predict(GRID)
    assert values.shape == GRID.shape[:-1]
    np.testing.assert_array_equal(fitted.predict(frame), values.ravel())
    assert fitted.predict(GRID[0, 0]).shape == ()
    assert np.sqrt(np.mean((values - f(GRID.reshape(-1, 2)).reshape(values.shape)) ** 2)) < 0.06
    table = fitted.get_prediction(GRID[:, 0], deriv=(0, 1)).summary_frame()
    assert list(table.index.names) == ["x0", "x1"]
    assert table["obs_ci_upper"].notna().all()
    assert np.isnan(fitted.get_prediction(GRID[0, :1], (1, 1)).se_obs).all()
    wide, narrow = (fitted.get_prediction(GRID, simultaneous=s).conf_int() for s in (True, False))
    assert (np.diff(wide) > 1.2 * np.diff(narrow)).all()


def test_the_estimate_is_an_exact_spline(fitted):
    spline = fitted.spline()
    np.testing.assert_allclose(spline(GRID, (1, 2)), fitted.predict(GRID, (1, 2)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(spline.derivative((1, 2))(GRID), fitted.predict(GRID, (1, 2)), rtol=1e-9, atol=1e-9)
    total = fitted.integrate([0.2, 0.1], [1.3, 0.8])
    assert total == pytest.approx(spline.integrate([0.2, 0.1], [1.3, 0.8]), rel=1e-12)
    fine = np.stack(np.meshgrid(np.linspace(0.2, 1.3, 601), np.linspace(0.1, 0.8, 601), indexing="ij"), axis=-1)
    values = trapezoid(trapezoid(fitted.predict(fine), fine[0, :, 1], axis=1), fine[:, 0, 0])
    assert total == pytest.approx(values, rel=1e-5)
    assert 0 < total.se < 0.1


def test_draws_tests_influence_and_pickles(fitted):
    draws = fitted.sample(GRID, [(0, 0), (1, 0)], size=4000, rng=1)
    assert draws.shape == (2, 4000, *GRID.shape[:-1])
    for k, orders in enumerate([(0, 0), (1, 0)]):
        prediction = fitted.get_prediction(GRID, orders)
        np.testing.assert_allclose(draws[k].std(axis=0).ravel(), prediction.se_mean, rtol=0.06)
    rows = BASIS.design(GRID[1, :2], (0, 0), sparse=False)
    assert fitted.t_test(rows).effect == pytest.approx(fitted.predict(GRID[1, :2]))
    assert {"x0", "x1", "leverage", "loo_resid"} <= set(fitted.influence().columns)
    worst = fitted.outliers(alpha=0.5)
    assert set(worst.index) <= set(np.flatnonzero(np.abs(fitted.resid_standardized) > 2.5))
    boot = fitted.bootstrap(GRID[2, 2:4], (1, 0), size=300, rng=0)
    np.testing.assert_allclose(boot.draws.mean(axis=0), fitted.predict(GRID[2, 2:4], (1, 0)), atol=0.1)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(GRID), fitted.predict(GRID))
    with pytest.raises(ValueError, match="read-only"):
        again.observations.readings[0].X[0] = 1
    text = fitted.summary().as_text()
    assert "8 x 6" in text
    assert "df/dx0" in text
    assert "the mean of f" in text


def test_losses_take_surfaces():
    obs = readings()["level"]
    y = obs.y.copy()
    y[::17] += 3
    model = sf.SplineRegression(sf.observe(obs.X, y), BASIS, BENT)
    plain, robust = model.fit(edf=15), model.fit(edf=15, loss="huber")
    truth = f(GRID.reshape(-1, 2))
    assert np.std(robust.predict(GRID).ravel() - truth) < 0.6 * np.std(plain.predict(GRID).ravel() - truth)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # the surface is held where observations are not
def test_equalities_hold_and_other_constraints_are_refused():
    edge = np.column_stack([np.linspace(0, 2, 8), np.zeros(8)])
    held = [sf.Equals(edge, 0.0), sf.Equals([[1.0, 1.0]], 2.0, deriv=(0, 1))]
    res = sf.SplineRegression(readings(), BASIS, BENT, constraints=held).fit()
    np.testing.assert_allclose(res.predict(edge), 0, atol=1e-9)
    assert res.predict([1.0, 1.0], (0, 1)) == pytest.approx(2)
    assert np.abs(res.predict(np.column_stack([np.linspace(0, 2, 50), np.zeros(50)]))).max() < 1e-8  # as many as functions
    assert len(res.active_constraints) == 9
    for constraint in (sf.Increasing(), sf.Unimodal(0.5), sf.Bounds(lower=0)):
        with pytest.raises(SpecificationError, match=r"whole box.*take sf\.Equals"):
            sf.SplineRegression(readings(), BASIS, BENT, constraints=constraint)
    with pytest.raises(SpecificationError, match=r"pass points \(n, d\)"):
        sf.SplineRegression(readings(), BASIS, BENT, constraints=sf.Equals(0.0))


@pytest.mark.parametrize(
    ("obs", "penalty", "words"),
    [
        (sf.observe(points(50), np.ones(50), deriv=(1, 0)), BENT, "no observation fixes the level of f; add one observation of f"),
        (sf.observe(points(50) * [1, 0] + [0, 0.5], np.ones(50)), BENT, "no observation fixes the slope of f along x1"),
        (sf.observe(points(50) * [0, 1] + [0.5, 0], np.ones(50)), BOTH, "no observation fixes the slope of f along x0"),
        (sf.observe(np.repeat(points(9)[:, :1], 2, axis=1) / 2, np.ones(9)), BENT, "the slope of f along some direction"),
        (
            sf.observe(points(20) * [1, 0], np.ones(20)) + sf.observe(points(20) * [0, 1], np.ones(20), name="g"),
            BOTH,
            r"the twist of f \(x0 times x1\)",
        ),
        (sf.observe(points(300) * [0.5, 1], np.ones(300)), None, r"do not fix f in 1.* <= x0 <= 1.9.*: there are too few"),
    ],
)
def test_what_readings_leave_open_is_named(obs, penalty, words):
    with pytest.raises(IdentificationError, match=words):
        sf.SplineRegression(obs, BASIS, penalty)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.SplineRegression(sf.observe([0.1, 0.2], [1, 2]), BASIS), SpecificationError, r"observe points \(n, d\)"),
        (lambda: sf.SplineRegression(readings(), B0), SpecificationError, "observations are at points of several variables"),
        (lambda: sf.SplineRegression(readings(), sf.TensorProductBasis(B0, B1, B0)), SpecificationError, "2 inputs .* 3 variables"),
        (lambda: sf.SplineRegression(sf.gp.observe(points(9), np.ones(9), sd=0), BASIS), SpecificationError, "zero.*sf.Equals"),
        (
            lambda: sf.SplineRegression(sf.observe(points(9), np.ones(9), deriv=(0, 4)), BASIS),
            SpecificationError,
            r"d4f/dx1\^4, which is zero everywhere for splines of degree 3 in x1",
        ),
        (
            lambda: sf.SplineRegression(readings(), BASIS, sf.DifferencePenalty()),
            SpecificationError,
            "along one variable; pass axis",
        ),
        (lambda: sf.SplineRegression(readings(), BASIS, sf.DerivativePenalty(2, axis=2)), SpecificationError, "axis is 2; the var"),
        (lambda: sf.DerivativePenalty(2, axis=0).matrix(B0), SpecificationError, "the basis has one variable"),
        (
            lambda: sf.SplineRegression(readings(), BASIS, BENT).fit(cov_type="HAC", cov_kwds={"maxlags": 2}),
            SpecificationError,
            "HAC",
        ),
        (lambda: sf.SplineRegression(sf.observe(points(9) * 3, np.ones(9)), BASIS), DataError, "outside"),
        (lambda: sf.observe(points(9), np.ones(9), deriv=1), SpecificationError, r"an order for each of 2 variables"),
        (lambda: sf.observe(points(9), np.ones(8)), DataError, "y has 8 observations and x has 9 points"),
        (lambda: sf.observe(points(9), np.ones(9), unit="s"), SpecificationError, "points hold numbers"),
        (lambda: sf.observe_integral(points(9), points(9) - 1, np.ones(9)), DataError, r"lower\[0, 0\].* is not below"),
        (lambda: sf.observe_integral(points(9), points(8), np.ones(9)), DataError, "a corner of each box in both"),
        (lambda: sf.observe(points(9), np.ones(9)) + sf.observe([0.0], [1.0]), TypeError, "unsupported"),
        (lambda: sf.GaussianProcess(sf.observe(points(9), np.ones(9), deriv=(1, 1))), SpecificationError, "order 0 or 1 in total"),
        (lambda: sf.TensorSpline(BASIS, np.ones(3)), SpecificationError, "coef has shape"),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_what_surfaces_have_not_is_refused(fitted):
    for call in (fitted.roots, fitted.extrema, fitted.zero_test, lambda: fitted.bootstrap(GRID, kind="block")):
        with pytest.raises(SpecificationError):
            call()
    with pytest.raises(DataError, match=r"pass points \(..., 2\)"):
        fitted.predict([0.1, 0.2, 0.3])
    with pytest.raises(SpecificationError, match="no series"):
        fitted.get_prediction(GRID, (1, 1), name="level")


def test_gaussian_processes_read_the_same_points():
    X = points(25)
    obs = sf.observe(X, f(X), name="height") + sf.observe(X, f(X, (1, 0)), deriv=(1, 0), sd=0.1)
    assert obs.axis.tolist() == [-1] * 25 + [0] * 25
    assert "df/dx0" in repr(obs)
    assert sf.GaussianProcess(obs).inputs == ("x0", "x1")
    assert obs.to_frame()["observes"].unique().tolist() == ["f", "df/dx0"]


def test_formulas_and_frames():
    X = points(200)
    df = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "z": f(X), "zx": f(X, (1, 0)), "zxy": f(X, (1, 1)), "s": 0.1})
    df.loc[3, "zx"] = np.nan
    formula = "z + D(zx, x) + D(zxy, y, x) ~ te(bsp(x, df=8), bsp(y, df=6))"
    model = sf.SplineRegression.from_formula(formula, df, BOTH, sd={"z": "s", "zx": 0.2, "zxy": 0.3})
    obs = sf.observe(df[["x", "y"]], df["z"], sd=0.1) + sf.observe(df[["x", "y"]], df["zx"], deriv=(1, 0), sd=0.2)
    obs += sf.observe(df[["x", "y"]], df["zxy"], deriv=(1, 1), sd=0.3)
    assert repr(model.observations) == repr(obs)
    basis = sf.TensorProductBasis(
        sf.BSplineBasis.from_data(X[:, 0], df=9), sf.BSplineBasis.from_data(X[:, 1], df=7)
    )  # and the constant
    np.testing.assert_array_equal(model.fit().params, sf.SplineRegression(obs, basis, BOTH).fit().params)
    curve = sf.SplineRegression.from_formula("z + D(zx, x) ~ bsp(x, df=8)", df)
    assert [r.deriv for r in curve.observations.readings] == [0, 1]
    for wrong, words in {
        "z + D(zx) ~ te(bsp(x, df=8), bsp(y, df=6))": "by which variable",
        "z + D(zx, w) ~ te(bsp(x, df=8), bsp(y, df=6))": "derivative by 'w'; the variables are x, y",
        "z ~ te(bsp(x, df=8))": "one basis for each",
        "z ~ te(bsp(x, df=8), y)": "'y' is not a basis",
    }.items():
        with pytest.raises(SpecificationError, match=words):
            sf.SplineRegression.from_formula(wrong, df)


@pytest.mark.slow
def test_pictures_are_drawn(fitted):
    pytest.importorskip("matplotlib").use("agg")
    import matplotlib.pyplot as plt

    assert len(fitted.plot().figure.axes) == 2
    assert len(fitted.plot((1, 0), se=True, levels=5).figure.axes) == 2
    assert len(fitted.plot_diagnostics()) == 4
    plt.close("all")


def test_differences_are_those_of_draws_and_predictions():
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 1, (60, 2))
    obs = sf.observe(X, np.sin(4 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(60))
    line = sf.BSplineBasis.uniform(0, 1, 4)
    res = sf.SplineRegression(obs, sf.TensorProductBasis(line, line), sf.DerivativePenalty(2)).fit()
    start, end = np.array([0.2, 0.9]), np.array([0.5, 0.4])
    change = res.difference(start, end)
    assert change == pytest.approx(float(np.diff(res.predict([start, end]))[0]), abs=1e-12)
    draws = np.diff(res.sample([start, end], size=4000, rng=0))[:, 0]
    assert change.se == pytest.approx(np.diff(res.sample([start, end], size=4000, rng=0, parameters="fixed"))[:, 0].std(), rel=0.05)
    np.testing.assert_allclose(change.conf_int(), np.quantile(draws, [0.025, 0.975]), atol=0.15 * change.se)
    with pytest.raises(SpecificationError, match="single points; call difference for each"):
        res.difference([start, end], end)

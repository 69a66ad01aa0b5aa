"""Surfaces: tensor product bases, observations of values, partial derivatives and boxes, by the same code as curves."""

import numpy as np
import pytest
from scipy.optimize import minimize

import smoothfit as sf
from smoothfit.errors import SpecificationError

from .surfaces import B0, B1, BASIS, BENT, BOTH, GRID, Dense, f, points, readings

RNG = np.random.default_rng(2)


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
    assert one.nobs == len(obs)
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


def test_losses_take_surfaces():
    obs = readings()["level"]
    y = obs.y.copy()
    y[::17] += 3
    model = sf.SplineRegression(sf.observe(obs.X, y), BASIS, BENT)
    plain, robust = model.fit(edf=15), model.fit(edf=15, loss="huber")
    truth = f(GRID.reshape(-1, 2))
    assert np.std(robust.predict(GRID).ravel() - truth) < 0.6 * np.std(plain.predict(GRID).ravel() - truth)

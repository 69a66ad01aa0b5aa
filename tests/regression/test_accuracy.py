"""Ill-conditioned fits against orthogonal transformations in extended precision, and large ones against the state space."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import PrecisionWarning
from smoothfit.regression.band import factorize_readings, multiply_factor

LONG = np.longdouble
pytestmark = pytest.mark.skipif(np.finfo(LONG).eps > 1e-18, reason="long double is no wider than double here")


def long_least_squares(matrix, rhs):
    """Coefficients and R of the least squares problem, by Householder reflections in long double."""
    A, b = matrix.astype(LONG), rhs.astype(LONG)
    order = np.argsort(-np.abs(A).max(axis=1), kind="stable")  # heavy rows first: stable row by row
    A, b = A[order], b[order]
    K = A.shape[1]
    for j in range(K):
        v = A[j:, j].copy()
        length = np.sqrt(np.sum(v**2))
        v[0] += length if v[0] >= 0 else -length
        size = np.sum(v**2)
        A[j:, j:] -= np.outer(2 * v / size, v @ A[j:, j:])
        b[j:] -= 2 * v / size * (v @ b[j:])
    coef = np.zeros(K, LONG)
    for j in range(K - 1, -1, -1):
        coef[j] = (b[j] - A[j, j + 1 :] @ coef[j + 1 :]) / A[j, j]
    return coef, np.triu(A[:K])


def long_inverse(R):
    """R^-1 in long double."""
    K = len(R)
    inverse = np.zeros((K, K), LONG)
    for j in range(K):
        inverse[j, j] = 1 / R[j, j]
        for i in range(j - 1, -1, -1):
            inverse[i, j] = -(R[i, i + 1 : j + 1] @ inverse[i + 1 : j + 1, j]) / R[i, i]
    return inverse


CASES = {  # spread of the precisions of derivatives, a gap without observations, smoothing
    "plain": (1.0, (2.0, 2.0), 1e-6),
    "heavy slopes": (1e12, (2.0, 2.0), 1e-6),
    "light slopes": (1e-12, (2.0, 2.0), 1e-6),
    "gap": (1.0, (0.3, 0.7), 1e-6),
    "gap, hardly smoothed": (1.0, (0.3, 0.7), 1e-14),
    "gap, heavy slopes": (1e12, (0.3, 0.7), 1e-10),
    "almost a line": (1.0, (2.0, 2.0), 1e6),
}


@pytest.mark.filterwarnings("ignore::smoothfit.errors.PrecisionWarning")  # the rounding of the coefficients themselves
@pytest.mark.parametrize("case", CASES)
def test_no_digit_that_counts_is_lost(case):
    spread, (start, end), lam = CASES[case]
    rng = np.random.default_rng(8)
    x, t = np.sort(rng.uniform(0, 1, 150)), np.sort(rng.uniform(0, 1, 60))
    x, t = x[(x < start) | (x > end)], t[(t < start) | (t > end)]
    slope_sd = 0.5 / np.sqrt(np.geomspace(1, spread, len(t)))
    y, dy = np.sin(6 * x) + 0.1 * rng.standard_normal(len(x)), 6 * np.cos(6 * t) + slope_sd * rng.standard_normal(len(t))
    basis = sf.BSplineBasis.uniform(0, 1, 40)
    penalty = sf.DerivativePenalty(2)
    obs = sf.observe(x, y, sd=0.1, name="f") + sf.observe(t, dy, deriv=1, sd=slope_sd, name="slope")
    res = sf.SplineRegression(obs, basis, penalty).fit(lam=lam)
    sd = np.concatenate([np.full(len(x), 0.1), slope_sd])
    design = np.vstack([basis.design(x, sparse=False), basis.design(t, 1, sparse=False)]) / sd[:, None]
    stacked = np.vstack([design, np.sqrt(lam) * penalty.root(basis).toarray()])
    coef, R = long_least_squares(stacked, np.concatenate([np.concatenate([y, dy]) / sd, np.zeros(len(stacked) - len(sd))]))
    inverse = long_inverse(R)
    grid = np.linspace(0, 1, 401)
    for deriv in range(3):
        rows = basis.design(grid, deriv, sparse=False)
        se = np.sqrt(np.sum((rows @ inverse) ** 2, axis=1)).astype(float)
        error = np.abs(res.predict(grid, deriv) - (rows @ coef).astype(float))
        rounding = (
            16 * np.finfo(float).eps * np.abs(rows @ coef).max().astype(float)
        )  # which shows where observations are right to 1e-7
        assert ((error - rounding) / se).max() < 1e-8
        np.testing.assert_allclose(res.get_prediction(grid, deriv).se_mean, se, rtol=1e-8)


HARD = {  # SD of values, spread of the precisions of slopes, gap, smoothing
    "SDs below rounding": (1e-12, 1.0, (2.0, 2.0), 1e-6),
    "slopes of weight 1e20": (0.1, 1e20, (2.0, 2.0), 1e-6),
    "an empty span": (1e-9, 1.0, (0.3, 0.7), 1e-18),
    "an equality": (1e-12, 1.0, (2.0, 2.0), 1e-6),
}


@pytest.mark.parametrize("case", HARD)
def test_lost_digits_are_told(case):
    sd, spread, (start, end), lam = HARD[case]
    rng = np.random.default_rng(8)
    x, t = np.sort(rng.uniform(0, 1, 150)), np.sort(rng.uniform(0, 1, 60))
    x, t = x[(x < start) | (x > end)], t[(t < start) | (t > end)]
    slope_sd = 0.5 / np.sqrt(np.geomspace(1, spread, len(t)))
    y, dy = np.sin(6 * x) + 0.1 * rng.standard_normal(len(x)), 6 * np.cos(6 * t) + slope_sd * rng.standard_normal(len(t))
    basis, penalty = sf.BSplineBasis.uniform(0, 1, 40), sf.DerivativePenalty(2)
    obs = sf.observe(x, y, sd=sd, name="f") + sf.observe(t, dy, deriv=1, sd=slope_sd, name="slope")
    constraints = sf.Equals(0.5, 0.1) if case == "an equality" else ()
    with pytest.warns(PrecisionWarning, match="posterior standard deviations"):
        res = sf.SplineRegression(obs, basis, penalty, constraints).fit(lam=lam)
    sds = np.concatenate([np.full(len(x), sd), slope_sd]).astype(LONG)
    design = np.vstack([basis.design(x, sparse=False), basis.design(t, 1, sparse=False)]).astype(LONG) / sds[:, None]
    stacked = np.vstack([design, np.sqrt(LONG(lam)) * penalty.root(basis).toarray()])
    rhs = np.concatenate([np.concatenate([y, dy]) / sds, np.zeros(len(stacked) - len(sds))])
    columns, offset = (np.eye(basis.n_basis), 0.0) if not constraints else res._fit.specification.substitution
    gamma, R = long_least_squares(stacked @ columns, rhs - stacked @ (np.zeros(basis.n_basis) + offset))
    error = R @ (columns.T @ (res.params.to_numpy() - offset) - gamma)
    error = float(np.sqrt(np.sum(error**2)))  # the largest of all functionals, in their SDs
    told = np.finfo(float).eps * 10**res.digits_lost
    assert error > 1e-8
    assert error / 3 < told < 3 * error
    assert "Digits lost:" in str(res.summary())


def test_no_digits_are_told_lost_where_none_are():
    x = np.linspace(0, 1, 200)
    obs = sf.observe(x, np.sin(6 * x) + 0.1 * np.random.default_rng(0).standard_normal(200))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 20), sf.DerivativePenalty(2)).fit()
    assert 0 < res.digits_lost < 6
    assert "Digits lost:" not in str(res.summary())
    accumulated = sf.SplineRegression.accumulate(sf.BSplineBasis.uniform(0, 1, 20)).add(obs).model(sf.DerivativePenalty(2)).fit()
    assert accumulated.digits_lost == pytest.approx(res.digits_lost, abs=0.1)


@pytest.mark.parametrize("noise", [1e-2, 1e-6, 1e-10])
def test_small_noise_keeps_its_digits(noise):
    """The curve is in the spline space; observations are known to 1e-16 of the signal, the noise to 1e-16 / noise of itself."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 1, 4000))
    basis = sf.BSplineBasis.uniform(0, 1, 5)
    design = basis.design(x, sparse=False)
    y = design @ rng.standard_normal(8) + noise * rng.standard_normal(4000)
    coef, R = long_least_squares(design, y)
    rss = float(np.sum((y.astype(LONG) - design.astype(LONG) @ coef) ** 2))
    factor = factorize_readings(basis, x, y, np.empty(0), 0, 4)
    ours = np.linalg.solve(multiply_factor(factor.R, np.eye(8)), factor.z)
    in_sds = np.linalg.norm(R.astype(float) @ (ours - coef.astype(float))) / np.sqrt(rss / 3992)
    assert in_sds <= 10 * np.finfo(float).eps / noise * np.sqrt(4000)
    assert factor.rest == pytest.approx(rss, rel=1e-13 + 10 * np.finfo(float).eps / noise)


@pytest.mark.parametrize(("degree", "order", "left"), [(3, 2, 1e-8), (5, 3, 1e-8), (5, 4, 1e-8), (7, 5, 1e-6)])
def test_traces_where_hardly_more_than_a_polynomial_is_left(degree, order, left):
    x = np.linspace(0, 1, 200)
    basis, penalty = sf.BSplineBasis.uniform(0, 1, 40, degree=degree), sf.DerivativePenalty(order)
    system = sf.SplineRegression(sf.observe(x, np.sin(6 * x)), basis, penalty).specification.system
    design, root = basis.design(x, sparse=False), penalty.root(basis).toarray()
    for log_tau in (-20.0, -10.0, 0.0, 10.0):
        _, R = long_least_squares(np.vstack([design, np.exp(log_tau / 2) * root]), np.zeros(200 + len(root)))
        edf = float(np.sum((design @ long_inverse(R)) ** 2))
        solution = system.solve(np.array([log_tau]), np.zeros(1))
        assert solution.trace[0] == pytest.approx(edf, abs=left)
        side_by_side = system.values(np.full((3, 1), log_tau), np.zeros((3, 1)), solved=True)
        np.testing.assert_allclose(side_by_side.trace, np.tile(solution.trace, (3, 1)), rtol=1e-13)


def test_a_polynomial_is_found_where_it_is_likeliest():
    x = np.linspace(0, 1, 200)
    basis, found = sf.BSplineBasis.uniform(0, 1, 40, degree=5), 0
    for seed in range(20):
        y = 4 * x**3 - 6 * x**2 + 0.2 * np.random.default_rng(seed).standard_normal(200)
        res = sf.SplineRegression(sf.observe(x, y), basis, sf.DerivativePenalty(4)).fit()
        found += res.boundary == ("lam",)
        assert res.edf >= 4 - 1e-9
    assert found >= 5


def test_fifty_thousand_functions():
    n = 50_000
    x = np.linspace(0, 1, n)
    obs = sf.observe(x, np.sin(40 * x) + 0.1 * np.random.default_rng(0).standard_normal(n), sd=0.1)
    basis = sf.NaturalSplineBasis.from_data(x, knots=x[1:-1])
    ours = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2)).fit(edf=150)
    theirs = sf.SmoothingSpline(obs, order=2).fit(lam=ours.lam)
    se = theirs.get_prediction(x[::100]).se_mean
    error = np.abs(ours.predict(x[::100]) - theirs.predict(x[::100])) / se
    assert error.max() < 1e-8
    np.testing.assert_allclose(ours.get_prediction(x[::100]).se_mean, se, rtol=1e-8)
    assert ours.edf == pytest.approx(theirs.edf, abs=1e-6)

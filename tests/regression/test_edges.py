"""Weights of penalties and unknown noise SDs, inside and on the edges of their range: against scans and limits by other routes."""

import warnings
from itertools import product

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import ConvergenceError, DataError, ExactSeriesWarning, LeverageWarning, SpecificationError
from smoothfit.regression.faces import faces

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

D = sf.DerivativePenalty
FIFTEEN_X = [0.00479537, 0.14670107, 0.26507567, 0.2771308, 0.29841271, 0.34552389, 0.37236859, 0.43989713, 0.62899535, 0.68149381]
FIFTEEN_X += [0.78232568, 0.84380198, 0.85780378, 0.86448222, 0.94160913]
FIFTEEN_Y = [0.09994913, 0.07305187, 0.12712801, 0.34533566, 0.18100499, 0.49762132, 0.30159752, 0.44961506, 0.79741456, 0.80882238]
FIFTEEN_Y += [0.77650477, 0.87858469, 0.89254455, 0.82417574, 0.84292701]


def restricted(B, y, S, d):
    """-2 l_R of dense algebra at the best common variance, up to a constant."""
    A = B.T @ B + S
    c = np.linalg.solve(A, B.T @ y)
    least = np.sum((y - B @ c) ** 2) + c @ S @ c
    return (len(y) - d) * np.log(least) + np.linalg.slogdet(A)[1] - np.log(np.linalg.eigvalsh(S)[d:]).sum()


def test_the_best_of_two_maxima_is_found():
    basis = sf.BSplineBasis.uniform(0, 1, 10)
    B, P, y = basis.design(FIFTEEN_X, sparse=False), basis.penalty(2).toarray(), np.array(FIFTEEN_Y)
    res = sf.SplineRegression(sf.observe(FIFTEEN_X, y), basis, D(2)).fit()
    assert res.llf == pytest.approx(11.398, abs=6e-4)
    scan = [restricted(B, y, lam * P, 2) for lam in np.geomspace(1e-7, 1e2, 200)]
    assert restricted(B, y, res.lam * P, 2) <= min(scan) + 1e-6


def test_nested_penalties_always_have_an_optimum_no_worse_than_a_scan():
    basis, x = sf.BSplineBasis.uniform(0, 1, 6), np.linspace(0, 1, 30)
    B, P = basis.design(x, sparse=False), [basis.penalty(k).toarray() for k in (1, 2)]
    for seed in range(8):
        y = np.random.default_rng(seed).standard_normal(30)
        model = sf.SplineRegression(sf.observe(x, y), basis, D(1) + D(2))
        res = model.fit()
        lam = np.clip(res.lam, 1e-9, 1e7)  # of dense algebra, which has no limits
        pairs = product(np.geomspace(1e-4, 1e4, 9), np.geomspace(1e-8, 1e3, 12))
        scan = [restricted(B, y, a * P[0] + b * P[1], 1) for a, b in pairs]
        assert restricted(B, y, lam[0] * P[0] + lam[1] * P[1], 1) <= min(scan) + 1e-3
        for method in ("ml", "gcv", "aicc"):
            assert np.isfinite(model.fit(method).edf)


@wrong
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_a_weight_of_zero_is_the_fit_without_its_penalty(method):
    x = np.linspace(0, 1, 60)
    obs = sf.observe(x, (x > 0.5) + 0.1 * np.random.default_rng(8).standard_normal(60))
    basis, grid = sf.BSplineBasis.uniform(0, 1, 10), np.linspace(0, 1, 40)
    one = sf.SplineRegression(obs, basis, D(1)).fit(method)
    two = sf.SplineRegression(obs, basis, D(1) + D(2)).fit(method)
    assert one.llf == pytest.approx(16.987, abs=6e-4) or method == "ml"
    assert two.llf == pytest.approx(one.llf, abs=1e-8)
    assert two.lam[1] == 0
    assert two.boundary == ("lam[1]",)
    assert "zero" in str(two.summary())
    for deriv in (0, 1):
        mine, theirs = two.get_prediction(grid, deriv), one.get_prediction(grid, deriv)
        np.testing.assert_allclose(mine.predicted_mean, theirs.predicted_mean, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(mine.se_mean, theirs.se_mean, rtol=1e-8)
    assert np.isfinite(two.bootstrap(grid, size=9, rng=0).conf_int()).all()


def test_infinite_weights_take_with_them_what_is_nested():
    obs = sf.observe(np.linspace(0, 1, 30), np.arange(30.0) % 7)
    system = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 6), D(1) + D(2)).specification.system
    found = {tuple(np.where(np.isnan(face.weights), 1.0, face.weights).tolist()): face.system for face in faces(system)}
    assert set(found) == {(1, 1), (1, np.inf), (1, 0), (np.inf, np.inf), (0, 1), (0, np.inf), (0, 0)}
    assert found[np.inf, np.inf].size == 1  # a constant, on which the second penalty has no say
    assert found[0, np.inf].size == 2  # a line
    assert found[1, np.inf].n_penalties == 1


@wrong
@pytest.mark.parametrize("seed", range(4))
def test_the_limit_of_precise_derivatives_is_the_polynomial(seed):
    """Values of a line with precise second derivatives: digits were lost on the way to lam = infinity."""
    r = np.random.default_rng(seed)
    x, z = np.sort(r.uniform(0, 1, 20)), np.sort(r.uniform(0, 1, 20))
    obs = sf.observe(x, 1 + 2 * x + 0.1 * r.standard_normal(20), name="a")
    obs = obs + sf.observe(z, 1e-3 * r.standard_normal(20), deriv=2, name="b")
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 24, degree=5), D(4)).fit()
    theirs = sf.SmoothingSpline(obs, order=4).fit()
    assert res.llf == pytest.approx(theirs.llf, abs=1e-6)
    assert res.boundary == ("lam",)
    grid = np.linspace(0, 1, 9)
    for deriv in range(3):
        se = theirs.get_prediction(grid, deriv).se_mean
        np.testing.assert_allclose(res.predict(grid, deriv), theirs.predict(grid, deriv), rtol=0, atol=1e-4 * se.max())
        np.testing.assert_allclose(res.get_prediction(grid, deriv).se_mean, se, rtol=1e-4)


def test_polynomials_have_their_coefficients():
    for basis in (sf.BSplineBasis.from_data(np.linspace(1, 3, 20) ** 2, df=9), sf.BSplineBasis(np.arange(12.0), degree=4)):
        x = np.linspace(*basis.domain, 30)
        u = (2 * x - sum(basis.domain)) / (basis.domain[1] - basis.domain[0])
        np.testing.assert_allclose(basis.design(x) @ basis.polynomials(4), u[:, None] ** np.arange(4), atol=1e-14)


# Several series ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [190, 3, 8])
def test_series_that_contradict_each_other_have_their_best_optimum(seed):
    r = np.random.default_rng(seed)
    x, w = (np.sort(r.uniform(0, 1, k)) for k in (12, 10))
    obs = sf.observe(x, np.sin(3 * x) + 0.003 * r.standard_normal(12), name="a")
    obs = obs + sf.observe(w, 1.7 * np.sin(3 * w) + 0.003 * r.standard_normal(10), name="b")
    basis, y = sf.BSplineBasis.uniform(0, 1, 8), np.concatenate([s.y for s in obs.readings])
    res = sf.SplineRegression(obs, basis, D(2)).fit()
    B, P = np.vstack([basis.design(s.x, sparse=False) for s in obs.readings]), basis.penalty(2).toarray()

    def deviance(lam, sds):
        sd = np.repeat(sds, [12, 10])
        return restricted_known(B / sd[:, None], y / sd, lam * P, 2) + 2 * np.log(sd).sum()

    found = deviance(res._fit.estimate.tau[0], res.sigma.to_numpy())
    grid = np.geomspace(1e-3, 1, 10)
    assert found <= min(deviance(lam, sds) for lam, *sds in product(np.geomspace(1e-6, 1e4, 16), grid, grid)) + 1e-6


def restricted_known(B, y, S, d):
    """-2 l_R of dense algebra for noise of variance one, up to a constant."""
    A = B.T @ B + S
    c = np.linalg.solve(A, B.T @ y)
    return np.sum((y - B @ c) ** 2) + c @ S @ c + np.linalg.slogdet(A)[1] - np.log(np.linalg.eigvalsh(S)[d:]).sum()


def test_a_stuck_series_is_named_and_not_believed():
    r = np.random.default_rng(2)
    x, z = np.sort(r.uniform(0, 1, 30)), np.sort(r.uniform(0, 1, 5))
    good = sf.observe(x, np.sin(6 * x) + 0.1 * r.standard_normal(30), name="a")
    basis = sf.BSplineBasis.uniform(0, 1, 10)
    for value in (0.52, 0.1 + 0.2, 1e6 / 3):
        with pytest.warns(ExactSeriesWarning, match="'stuck' are equal"):
            res = sf.SplineRegression(good + sf.observe(z, np.full(5, value), name="stuck"), basis, D(2)).fit()
        assert abs(res.llf) < 1e3
        assert 0.05 < res.sigma["a"] < 0.2
    accumulator = sf.SplineRegression.accumulate(basis).add(good + sf.observe(z, np.full(5, 0.52), name="stuck"))
    assert abs(accumulator.model(D(2)).specification.system.spreads[1] - 0.52**2) < 1e-9


# Leverages, coordinates, strings, sizes ---------------------------------------------------------------------------------------


def test_leverages_of_one_are_refused_by_name():
    x = np.concatenate([np.linspace(0, 0.4, 20), [0.95]])  # the last one alone sees the end
    y = np.sin(6 * x) + 0.1 * np.random.default_rng(0).standard_normal(21)
    model = sf.SplineRegression(sf.observe(x, y, name="lone"), sf.BSplineBasis([0, 0, 0.5, 1, 1], degree=1))
    for kind in ("HC2", "HC3"):
        with pytest.raises(SpecificationError, match="observation 20 of 'lone'"):
            model.fit(cov_type=kind)
    assert np.isfinite(model.fit(cov_type="HC1").bse).all()
    near = np.append(x, 0.5 + 0.01)
    model = sf.SplineRegression(sf.observe(near, np.append(y, 0.1)), sf.BSplineBasis([0, 0, 0.5, 1, 1], degree=1))
    with pytest.warns(LeverageWarning, match="leverage is 0.999"):
        model.fit(cov_type="HC3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(cov_type="HC2")


def test_differences_of_a_surface_are_those_of_unclamped_splines():
    """D'D x I in B-splines on even knots that go on beyond the ends, for clamped factors of the same splines."""
    clamped = [sf.BSplineBasis.uniform(0, 1, 5), sf.BSplineBasis.uniform(0, 2, 4, degree=2)]
    even = [sf.BSplineBasis(np.arange(-3, 9) / 5), sf.BSplineBasis(np.arange(-2, 7) / 2, degree=2)]
    ours, theirs = (sf.TensorProductBasis(*pair) for pair in (clamped, even))
    X = np.random.default_rng(0).uniform(0, [1, 2], (400, 2))
    change = np.linalg.lstsq(theirs.design(X).toarray(), ours.design(X).toarray(), rcond=None)[0]
    for axis, m in ((0, 2), (1, 1), (1, 2)):
        n = [factor.n_basis for factor in even]
        d = np.diff(np.eye(n[axis]), m, axis=0)
        plain = np.kron(d.T @ d, np.eye(n[1])) if axis == 0 else np.kron(np.eye(n[0]), d.T @ d)
        expected = change.T @ plain @ change
        found = sf.DifferencePenalty(m, axis=axis).matrix(ours).toarray()
        np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())


def test_constraints_may_be_strings():
    x = np.linspace(0, 1, 40)
    obs = sf.observe(x, x + 0.1 * np.random.default_rng(0).standard_normal(40))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 3)).fit("ols")
    rows = np.zeros((2, 6))
    rows[0, 1], rows[1, 2], rows[1, 4] = 1, 2, -1
    text, plain = res.t_test("b1 = 0.25, 2 * b2 - b4 = 0"), res.t_test(rows, [0.25, 0.0])
    np.testing.assert_allclose(text.pvalue, plain.pvalue, rtol=1e-12)
    np.testing.assert_allclose(res.wald_test("b1 = b2").fvalue, res.wald_test([[0, 1, -1, 0, 0, 0]]).fvalue, rtol=1e-12)
    for bad in ("a = 0", "b0 = = 1", [["x"]]):
        with pytest.raises(SpecificationError, match="b0"):
            res.t_test(bad)


@pytest.mark.parametrize("errors", [None, sf.AR1(), sf.OU(0.1)])
@pytest.mark.parametrize("noise", [{"sd": 1e-300}, {"sd": np.append(1e-300, np.ones(19))}, {"weights": np.full(20, 1e-300)}])
def test_sizes_beyond_double_precision_are_named(errors, noise):
    obs = sf.observe(np.linspace(0, 1, 20), np.arange(20.0), **noise)
    with pytest.raises(DataError, match=r"\[0\] of 'f' is 1e-300"):
        sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 4), D(2), errors=errors)
    with pytest.raises(DataError, match=r"\[0\] of 'f' is 1e-300"):
        sf.SplineRegression.accumulate(sf.BSplineBasis.uniform(0, 1, 4)).add(obs)


def test_exact_observations_still_end_in_an_error_that_says_so():
    x = np.linspace(0, 1, 30)
    with pytest.raises((DataError, ConvergenceError), match=r"no noise|without any smoothing"):
        sf.SplineRegression(sf.observe(x, 1 + 2 * x), sf.BSplineBasis.uniform(0, 1, 6), D(2)).fit()


def test_correlated_errors_have_the_best_of_a_scan_over_their_timescale():
    """One end of the scan has a line with correlated errors, the other a curve: their likelihoods are on one scale."""
    r = np.random.default_rng([5, 2])
    x = np.sort(r.uniform(0, 1, int(r.integers(20, 50))))
    gaps = np.abs(x[:, None] - x) / 10 ** r.uniform(-2.5, 0)
    y = np.sin(6 * x) + 0.3 * np.linalg.cholesky(np.exp(-gaps) + 1e-12 * np.eye(len(x))) @ r.standard_normal(len(x))
    obs, basis = sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, 5)
    res = sf.SplineRegression(obs, basis, D(2), errors=sf.OU()).fit()
    scan = [sf.SplineRegression(obs, basis, D(2), errors=sf.OU(s)).fit().llf for s in (0.003, 0.01, 0.02, 0.024, 0.05, 0.13, 1.0)]
    assert res.llf >= max(scan) - 1e-8


@pytest.mark.parametrize("seed", [3, 4])
def test_a_known_sd_beside_an_unknown_one_leaves_an_infinite_weight_at_its_edge(seed):
    """Where f is linear along an axis; the search of variances lets weights pass the end of their range, into rounding."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (200, 2))
    y = np.sin(3 * points[:, 0]) * points[:, 1] + 0.05 * rng.standard_normal(200)
    basis = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 1, 5), sf.BSplineBasis.uniform(0, 1, 4))
    obs = sf.observe(points[:100], y[:100], name="a") + sf.observe(points[100:], y[100:], sd=0.05, name="b")
    res = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)).fit()
    assert res.boundary == ("lam[1]",)
    assert res.lam[1] == np.inf
    held = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1))
    held = held.fit(lam=[res.lam[0], 1e9])  # before rounding
    np.testing.assert_allclose(res.predict(points), held.predict(points), atol=1e-7)


def test_a_likelihood_that_grows_without_smoothing_names_what_can_be_done():
    penalty = sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 1, (40, 2))
    line = sf.BSplineBasis.uniform(0, 1, 1)
    obs = sf.observe(points, 1e3 * points.prod(axis=1) ** 3 + 1e-5 * rng.standard_normal(40))
    with pytest.raises(ConvergenceError, match=r"fit without a penalty, or fix the smoothing \(lam=\)$"):
        sf.SplineRegression(obs, sf.TensorProductBasis(line, line), penalty).fit()
    assert sf.SplineRegression(obs, sf.TensorProductBasis(line, line)).fit().sigma["f"] == pytest.approx(1e-5, rel=0.3)
    points = [
        [0.64, 0.13],
        [0.11, 0.65],
        [0.85, 0.2],
        [0.22, 0.72],
        [0.47, 0.42],
        [0.35, 0.06],
        [0.45, 0.3],
        [0.39, 0.54],
        [0.68, 0.62],
    ]
    obs = sf.observe(points, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])  # fewer than the functions
    with pytest.raises(ConvergenceError, match=r"use fewer basis functions, or fix the smoothing \(lam=\)$"):
        sf.SplineRegression(obs, sf.TensorProductBasis(line, sf.BSplineBasis.uniform(0, 1, 2)), penalty).fit()

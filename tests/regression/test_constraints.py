"""Shapes hold on whole intervals, and the fit under them is the best: by its multipliers, and beside a fine grid."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.sparse import csr_array

import smoothfit as sf
from smoothfit.errors import SmoothfitError, SpecificationError
from smoothfit.regression.band import rows_of_factor
from smoothfit.regression.conic import Program, _attempt, change_of
from smoothfit.regression.restricted import gradient, multipliers_of

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

# several shapes contradict the SD that is given beside them: `test_bounds_that_contradict_a_given_sd_say_so` is about that
pytestmark = pytest.mark.filterwarnings("ignore:the bounds contradict:smoothfit.errors.BiasWarning")
RNG = np.random.default_rng(0)
X = np.sort(RNG.uniform(0, 1, 200))
Y = np.tanh(8 * X - 4) + 0.2 * RNG.standard_normal(200)
OBS = sf.observe(X, Y, sd=0.2)
FINE = np.linspace(0, 1, 100_001)
SHAPES = {
    "increasing": [sf.Increasing()],
    "bounded": [sf.Bounds(lower=-0.95, upper=0.95)],
    "sigmoid": [sf.Increasing(), sf.Convex(on=(0, 0.31)), sf.Concave(on=(0.7, 1))],
    "through": [sf.Equals(0, -1.0), sf.Equals(1.0, 0.0, deriv=1), sf.Bounds(upper=0.9)],
    "unimodal": [sf.Unimodal(0.8)],
    "positive": [sf.Positive(on=(0.43, 1))],
    "steep": [sf.Bounds(deriv=1, lower=0.5, upper=6.0)],
}


def fit(constraints, degree=3, observations=OBS, **options):
    basis = sf.BSplineBasis.uniform(0, 1, 20, degree=degree)
    model = sf.SplineRegression(observations, basis, sf.DerivativePenalty(min(2, degree)), constraints=constraints)
    return model.fit(lam=options.pop("lam", 1e-4), **options)


def violations(res):
    """The worst violation of each bound at 100 001 points, and the size of what is bounded."""
    for p in res._fit.specification.restrictions.polynomials:
        b = p.coefficients(res._fit.coef)
        x = FINE[(p.lower[0] <= FINE) & (p.upper[-1] >= FINE)]
        piece = np.clip(np.searchsorted(p.lower, x, side="right") - 1, 0, len(b) - 1)
        u = (x - p.lower[piece]) / (p.upper[piece] - p.lower[piece])
        points = list(b[piece].T)
        while len(points) > 1:
            points = [(1 - u) * low + u * high for low, high in pairwise(points)]
        yield -points[0].min(), np.abs(points[0]).max()


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_hold_everywhere(shape, degree):
    res = fit(SHAPES[shape], degree)
    for worst, size in violations(res):
        assert worst <= 1e-9 * size
    for constraint in SHAPES[shape]:
        if isinstance(constraint, sf.Equals):
            assert float(res.predict(constraint.x[0], constraint.deriv)) == pytest.approx(constraint.value[0], abs=1e-10)


def test_prediction_says_the_same_as_the_pieces():
    res = fit([sf.Increasing()])
    slopes = res.predict(FINE, deriv=1)
    assert slopes.min() >= -1e-9 * slopes.max()
    free = fit(())
    assert free.predict(FINE, deriv=1).min() < -0.1


@pytest.mark.parametrize("degree", [2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_multipliers_prove_the_optimum(shape, degree):
    res = fit(SHAPES[shape], degree)
    table = res.active_constraints
    bounds = ~table["constraint"].str.startswith("Equals")
    whole = res._fit.whole
    scales = whole.scales(np.log(res._fit.estimate.tau), res._fit.estimate.log_sigma2)
    slope = gradient(whole.factors, whole.rhs, scales, res._fit.coef)
    free = gradient(whole.factors, whole.rhs, scales, np.zeros(len(slope)))
    assert len(table)
    restrictions = res._fit.specification.restrictions
    rows = [res._fit.bounded[1].rows] + ([restrictions.rows] if restrictions.equalities else [])
    stacked = np.vstack(rows)
    left = slope - stacked.T @ np.linalg.lstsq(stacked.T, slope, rcond=1e-9)[0]
    assert np.abs(left).max() < 1e-5 * np.abs(free).max()  # the touching points are known to the root of the feasibility
    # and the part of nonnegative multipliers is all of it
    multipliers = multipliers_of(np.vstack(rows[::-1]), len(rows[-1]) if restrictions.equalities else 0, slope)
    left = slope - np.vstack(rows[::-1]).T @ multipliers
    assert np.abs(left).max() < 1e-4 * np.abs(free).max()
    assert (table["multiplier"][bounds] >= 0).all()


@pytest.mark.parametrize("shape", ["increasing", "bounded", "sigmoid"])
def test_no_worse_than_a_fine_grid(shape):
    import clarabel
    from scipy import sparse

    res = fit(SHAPES[shape])
    basis, x = res.basis, np.linspace(0, 1, 2001)
    design = basis.design(X, sparse=False)
    A = design.T @ design / 0.04 + res._fit.estimate.tau[0] * sf.DerivativePenalty(2).matrix(basis).toarray()
    q = -design.T @ Y / 0.04
    grid = {
        "increasing": [(basis.design(x, 1), 0.0)],
        "bounded": [(basis.design(x), -0.95), (-basis.design(x), -0.95)],
        "sigmoid": [(basis.design(x, 1), 0.0), (basis.design(x[x <= 0.31], 2), 0.0), (-basis.design(x[x >= 0.7], 2), 0.0)],
    }[shape]
    rows = sparse.vstack([sparse.csc_matrix(-r) for r, _ in grid], format="csc")
    bound = np.concatenate([np.full(r.shape[0], -b) for r, b in grid])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cone = [clarabel.NonnegativeConeT(len(bound))]
    solution = clarabel.DefaultSolver(sparse.triu(sparse.csc_matrix(A), format="csc"), q, rows, bound, cone, settings).solve()
    theirs, ours = (0.5 * c @ A @ c + q @ c for c in (np.array(solution.x), res._fit.coef))
    assert ours <= theirs + 1e-5 * abs(theirs)  # the grid leaves gaps, so that it may be a little lower
    assert ours >= theirs - 1e-6 * abs(theirs)


def test_reached_bounds_take_degrees_of_freedom_and_narrow_the_band():
    free, bound = fit(()), fit([sf.Increasing()])
    assert bound.edf < free.edf - 0.5
    assert (bound.get_prediction(FINE[::500]).se_mean <= free.get_prediction(FINE[::500]).se_mean + 1e-12).all()
    inactive = fit([sf.Bounds(lower=-5)])
    np.testing.assert_array_equal(inactive.params, free.params)
    assert not len(inactive.active_constraints)
    assert inactive.edf == free.edf


@wrong
def test_equalities_are_exact_least_squares():
    basis = sf.BSplineBasis.uniform(0, 1, 6)
    res = sf.SplineRegression(sf.observe(X, Y), basis, constraints=[sf.Equals([0.2, 0.9], [-0.9, 0.8])]).fit("ols")
    B, E = basis.design(X, sparse=False), basis.design([0.2, 0.9], sparse=False)
    kkt = np.block([[B.T @ B, E.T], [E, np.zeros((2, 2))]])
    expected = np.linalg.solve(kkt, np.concatenate([B.T @ Y, [-0.9, 0.8]]))
    np.testing.assert_allclose(res.params, expected[:9], atol=1e-10)
    scale = np.sum((Y - B @ expected[:9]) ** 2) / (200 - 7)
    assert res.scale == pytest.approx(scale, rel=1e-10)
    assert res.edf == pytest.approx(7, abs=1e-9)
    np.testing.assert_allclose(res.cov_params(), scale * np.linalg.inv(kkt)[:9, :9], atol=1e-9 * scale)
    np.testing.assert_allclose(res.active_constraints["multiplier"], -2 * expected[9:] / scale, rtol=1e-6)
    np.testing.assert_allclose(res.get_prediction([0.2, 0.9]).se_mean, 0, atol=1e-9)


LOCAL = {
    "places": [sf.Equals([0.0, 0.31, 0.32], [-1.0, -0.9, -0.9]), sf.Equals(0.8, 0.0, deriv=2)],
    "slopes in one piece": [sf.Equals([0.25, 0.26], [1.0, -1.0], deriv=1)],
    "an integral": [sf.Equals(0.0, 0.3, upper=1.0)],
    "integrals and places": [sf.Equals([0.0, 0.2], [0.1, 0.1], upper=[1.0, 0.7]), sf.Equals([0.5, 1.0], [0.0, 1.0])],
    "said twice": [sf.Equals([0.5, 0.5, 0.2], [0.0, 0.0, -1.0])],
    "ends": [sf.Equals(0.0, -2.0, minus=1.0)],
}


@wrong
@pytest.mark.parametrize(
    ("name", "method"),  # what "ml" integrates over are coefficients orthogonal to what the penalty leaves free, in any columns
    [(name, method) for name in LOCAL for method in ("reml", "ml", "gcv") if method != "ml" or "integral" not in name],
)
def test_sparse_columns_of_equalities_say_what_orthonormal_ones_do(name, method):
    basis, obs = sf.BSplineBasis.uniform(0, 1, 40), sf.observe(X, Y)
    model = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2), constraints=LOCAL[name])
    res = model.fit(method)
    other = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2), constraints=LOCAL[name])
    rows, (columns, offset) = model.specification.restrictions.rows, model.specification.substitution
    assert np.abs(rows @ columns).max() <= 1e-13 * np.abs(rows).max()
    other.specification.__dict__["substitution"] = csr_array(null_space(rows)), offset
    del other.specification.__dict__["system"]
    dense = other.fit(method)
    assert np.linalg.matrix_rank(columns.toarray()) == columns.shape[1] == dense._fit.estimate.columns.shape[1]
    assert res.lam == pytest.approx(dense.lam, rel=1e-4)  # a thousandth of its standard error is what a search certifies
    lam = dense.lam
    res, dense = model.fit(lam=lam), other.fit(lam=lam)
    for what in ("edf", "scale", "llf", "aic"):
        assert getattr(res, what) == pytest.approx(getattr(dense, what), rel=1e-10)
    for what in ("params", "fittedvalues", "bse"):
        np.testing.assert_allclose(getattr(res, what), getattr(dense, what), atol=1e-10)
    curvature, other_curvature = (found.get_prediction(FINE[::500], 2).se_mean for found in (res, dense))
    np.testing.assert_allclose(curvature, other_curvature, atol=1e-10 * curvature.max())


@pytest.mark.parametrize(
    "equality", [sf.Equals([0.0, 0.3], [0.0, 0.5]), sf.Equals([0.4, 0.6], 0.0, deriv=1), sf.Equals(0.0, 0.1, upper=1.0)]
)
def test_equalities_keep_the_band(equality):
    n = 20_000
    x = np.linspace(0, 1, n)
    obs = sf.observe(x, np.sin(40 * x) + 0.1 * np.random.default_rng(0).standard_normal(n))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, n), sf.DerivativePenalty(2), constraints=equality).fit()
    assert res._fit.estimate.system.factors.shape[2] <= 8
    found = float(res.integrate(0, 1)) if equality.upper is not None else res.predict(equality.x, equality.deriv)
    np.testing.assert_allclose(found, np.broadcast_to(equality.value, np.shape(found) or (1,))[: np.size(found)], atol=1e-8)
    assert np.isfinite(res.llf)


def test_pieces_held_one_after_the_other_make_the_whole_program():
    for shape in ("increasing", "bounded", "sigmoid", "positive", "steep"):
        for degree in (3, 5):
            res = fit(SHAPES[shape], degree)
            free = res._fit.estimate.system.solve(res._fit.estimate.log_tau, res._fit.estimate.log_sigma2)
            R = rows_of_factor(free.R).sparse(len(free.R))
            program = Program(R, free.z, free.coef, res._fit.specification.restrictions.polynomials)
            beside = [p._replace(bound=-p.coefficients(program.free)) for p in program.polynomials]
            at_once, by_pieces = _attempt(program)[1], program.free + change_of(program.R, beside)
            least = np.sum((R @ at_once - free.z) ** 2)
            assert np.sum((R @ by_pieces - free.z) ** 2) == pytest.approx(least, rel=1e-7)
            np.testing.assert_allclose(by_pieces, at_once, atol=1e-4 * np.abs(at_once).max())


def test_equalities_identify_what_no_reading_does():
    slope = sf.observe(X, np.cos(X), deriv=1, sd=0.01)
    basis = sf.BSplineBasis.uniform(0, 1, 6)
    res = sf.SplineRegression(slope, basis, sf.DerivativePenalty(2), constraints=sf.Equals(0.0, 0.0)).fit(lam=1e-6)
    np.testing.assert_allclose(res.predict(FINE[::1000]), np.sin(FINE[::1000]), atol=0.01)


def test_a_curve_can_be_made_periodic():
    basis = sf.BSplineBasis.uniform(0, 1, 12)
    ends = [sf.Equals(0.0, 0.0, deriv=k, minus=1.0) for k in range(3)]
    res = sf.SplineRegression(sf.observe(X, np.sin(2 * np.pi * X), sd=0.1), basis, constraints=ends).fit()
    same = sf.SplineRegression(sf.observe(X, np.sin(2 * np.pi * X), sd=0.1), sf.PeriodicBSplineBasis.uniform(0, 1, 12)).fit()
    np.testing.assert_allclose(res.predict(FINE[::100]), same.predict(FINE[::100]), atol=1e-9)
    np.testing.assert_allclose(res.get_prediction(FINE[::100]).se_mean, same.get_prediction(FINE[::100]).se_mean, rtol=1e-6)


@wrong
def test_an_integral_can_be_given():
    basis = sf.BSplineBasis.uniform(0, 1, 12)
    res = sf.SplineRegression(OBS, basis, sf.DerivativePenalty(2), constraints=sf.Equals(0.0, 0.25, upper=1.0)).fit()
    assert float(res.integrate(0, 1)) == pytest.approx(0.25, abs=1e-12)
    assert res.integrate(0, 1).se < 1e-9


def test_bounds_may_be_splines():
    line = sf.Spline(sf.BSplineBasis([0, 0, 0.37, 1, 1], degree=1), [-1.2, -0.5, 0.7])
    res = fit([sf.Bounds(lower=line, upper=line + 0.6)])
    f, bound = res.predict(FINE), line(FINE)
    assert (f - bound).min() >= -1e-9
    assert (bound + 0.6 - f).min() >= -1e-9


@wrong
def test_the_aic_of_a_line_among_readings_of_curvature():
    import json
    from pathlib import Path

    rows = json.loads((Path(__file__).parent.parent / "reference" / "values_and_derivatives.json").read_text())["rows"]
    x, y, deriv, sd = (np.array([row[name] for row in rows]) for name in ("x", "y", "deriv", "sd"))
    obs = sum(sf.observe(x[deriv == k], y[deriv == k], deriv=k, sd=sd[deriv == k]) for k in range(3))
    basis = sf.BernsteinBasis(2, 0.0, 9.0)
    res = sf.SplineRegression(obs, basis, constraints=sf.Equals(1.0, 0.0, deriv=2)).fit("ols", rescale=True)
    assert res.aic == pytest.approx(102.863, abs=6e-4)  # the scale counts as a parameter


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(-30, 30), st.integers(-30, 30))
@example(362, 4, -2, 0)  # which one margin leaves short of its bound
def test_any_data_of_any_size_can_be_made_monotone(seed, degree, px, py):
    rng = np.random.default_rng(seed)
    a, b = 2.0**px, 2.0**py
    x, y = np.sort(rng.uniform(0, 1, 40)), rng.standard_normal(40).cumsum()
    basis = sf.BSplineBasis.uniform(0, a, 8, degree=degree)
    penalty = sf.DerivativePenalty(1)
    res = sf.SplineRegression(sf.observe(a * x, b * y, sd=b), basis, penalty, constraints=sf.Increasing()).fit(lam=1e-3 * a / b**2)
    slopes = res.predict(a * np.linspace(0, 1, 2001), deriv=1)
    assert slopes.min() >= -1e-9 * np.ptp(y) * b / a


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit([sf.Equals([0.5, 0.5], [0, 1])]), r"contradict.*Equals\(f\) = 0.*Equals\(f\) = 1"),
        (lambda: fit([sf.Increasing(), sf.Equals([0.2, 0.6], [1.0, 0.0])]), "no curve satisfies Increasing on"),
        (lambda: fit([sf.Bounds(lower=1), sf.Bounds(upper=0), sf.Convex(on=(0, 0.1))]), r"Bounds\(lower.*and Bounds\(upper"),
        (lambda: sf.Bounds(lower=1, upper=0), "lower is 1.0, above upper"),
        (lambda: sf.Bounds(), "neither lower nor upper"),
        (lambda: fit([sf.Positive(on=(0.5, 2))]), "leaves the domain"),
        (lambda: sf.Bounds(lower=0, on=(1, 0)), "lower below upper"),
        (lambda: fit([sf.Bounds(deriv=4, lower=0)]), "degree 3"),
        (lambda: fit([sf.Unimodal(1.0)]), "lies inside"),
        (lambda: fit([sf.Equals(2.0, 0.0)]), "outside the domain"),
        (lambda: fit(["increasing"]), r"constraints\[0\]"),
        (lambda: fit([sf.Equals(0.0, [1, 2, 3])]), "value has 3 entries"),
    ],
)
def test_impossible_shapes_are_named(call, words):
    with pytest.raises(SmoothfitError, match=words):
        call()


def test_the_conflict_leaves_out_who_has_no_part_in_it():
    with pytest.raises(SpecificationError) as caught:
        fit([sf.Bounds(lower=1), sf.Bounds(upper=0), sf.Convex(on=(0, 0.1))])
    assert "Convex" not in str(caught.value)

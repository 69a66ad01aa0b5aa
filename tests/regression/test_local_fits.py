"""Observations of a piece reduced by sums about a local fit, against rows one by one."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import DataError
from smoothfit.regression.band import factorize, factorize_readings, multiply_factor, pack

PLAIN = np.empty(0)


def both(basis, x, y, root, deriv):
    """Factors by sums and row by row."""
    w = basis.degree + 1
    scale = root if len(root) else np.ones(len(x))
    rows = factorize(pack(basis.design(x, deriv)).scaled(scale), y * scale, basis.n_basis, w)
    return factorize_readings(basis, x, y, root, deriv, w), rows


def assert_same(ours, theirs, tolerance=1e-13):
    """R'R, R'z and z'z + rest determine a least squares problem."""
    (R, R2), (z, z2) = ([multiply_factor(f.R, np.eye(len(f.R))) for f in (ours, theirs)], (ours.z, theirs.z))
    gram, size = R2.T @ R2, np.linalg.norm(R2, axis=0)
    assert np.abs(R.T @ R - gram).max() <= tolerance * gram.max()
    whole = z2 @ z2 + theirs.rest
    assert np.abs(R.T @ z - R2.T @ z2).max() <= tolerance * size.max() * np.sqrt(whole)
    assert z @ z + ours.rest == pytest.approx(whole, rel=tolerance)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("degree", "deriv"), [(0, 0), (1, 0), (1, 1), (2, 1), (3, 0), (3, 1), (3, 2), (3, 3), (5, 0), (5, 2), (10, 0), (10, 4)]
)
def test_sums_say_what_rows_do(degree, deriv, weighted):
    rng = np.random.default_rng(degree)
    x = np.sort(rng.uniform(-3, 5, 5001))
    knots = np.concatenate([[-3.0] * (degree + 1), [-2.9, -1, 0, 0, 0.5, 3], [5.0] * (degree + 1)])
    basis = sf.BSplineBasis(knots if degree > 1 else np.unique(knots) if not degree else np.delete(knots, 4), degree)
    root = rng.uniform(0.5, 2, 5001) if weighted else PLAIN
    assert_same(*both(basis, x, np.cos(x) + 0.1 * rng.standard_normal(5001), root, deriv))


PLACES = {
    "ties": lambda rng: np.repeat(np.sort(rng.uniform(0, 1, 40)), 100),
    "one place": lambda rng: np.full(3000, 0.3),
    "clusters": lambda rng: np.concatenate([0.3 + 1e-9 * rng.uniform(0, 1, 2000), rng.uniform(0, 1, 100)]),
    "towards an end": lambda rng: rng.lognormal(-20, 6, 5000) % 1,
    "few": lambda rng: rng.uniform(0, 1, 50),
    "both ends": lambda rng: np.repeat([0.0, 1.0], 200),
}


@pytest.mark.parametrize("far", [0.0, 1e9])
@pytest.mark.parametrize("places", PLACES)
def test_wherever_the_readings_lie(places, far):
    rng = np.random.default_rng(0)
    x = np.sort(PLACES[places](rng)) + far
    basis = sf.BSplineBasis.uniform(far, far + 1, 8)
    y = np.sin(9 * (x - far)) + 0.1 * rng.standard_normal(len(x))
    for root in (PLAIN, 10 ** rng.uniform(-6, 6, len(x))):
        assert_same(*both(basis, x, y, root, 0))


def test_an_outlier_does_not_spoil_the_reference():
    x = np.linspace(0, 1, 2000)
    y = 1e-6 * np.sin(50 * np.arange(2000.0))
    y[0] = 1e8  # always one of the few observations of the first local fit
    assert_same(*both(sf.BSplineBasis.uniform(0, 1, 2), x, y, PLAIN, 0))


def test_exact_readings_leave_nothing():
    x = np.linspace(0, 1, 2000)
    factor = factorize_readings(sf.BSplineBasis.uniform(0, 1, 4), x, 1 + x - 2 * x**3, PLAIN, 0, 4)
    assert 0 <= factor.rest <= 2000 * (4 * np.finfo(float).eps) ** 2


@pytest.mark.parametrize("order", ["increasing", "shuffled"])
def test_the_first_reading_outside_is_named(order):
    x = np.linspace(0, 1, 3000)
    x[-2:] = 1.5, 2.0
    if order == "shuffled":
        x = x[np.random.default_rng(0).permutation(3000)]
    first = int(np.flatnonzero(x > 1)[0]) if order == "increasing" else int(np.flatnonzero(x == 1.5)[0])
    with pytest.raises(DataError, match=rf"x\[{first}\]"):
        sf.SplineRegression(sf.observe(x, np.sin(x)), sf.BSplineBasis.uniform(0, 1, 5)).fit("ols")

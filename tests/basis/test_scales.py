"""Penalties on knots of extreme scales, and x over 600 decades: right, or an error of ours."""

import numpy as np
import pytest

import smoothfit as sf

DECADES = np.geomspace(1e-300, 1e300, 12)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e290])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("family", [sf.BSplineBasis, sf.PeriodicBSplineBasis])
def test_difference_penalties_do_not_depend_on_the_unit_of_x(family, order, size):
    unit = sf.DifferencePenalty(order).matrix(family.uniform(0, 1, 6)).toarray()
    found = sf.DifferencePenalty(order).matrix(family.uniform(0, size, 6)).toarray()
    np.testing.assert_allclose(found, unit, rtol=1e-12, atol=1e-12 * np.abs(unit).max())


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_derivative_penalties_beyond_floating_point_numbers_are_errors(size):
    basis = sf.BSplineBasis.uniform(0, size, 6)
    assert sf.DerivativePenalty(1).matrix(basis).toarray().max() > 0
    with pytest.raises(sf.errors.NumericalError, match="choose another unit of x"):
        sf.DerivativePenalty(2).matrix(basis)


def test_x_over_600_decades():
    basis = sf.BSplineBasis.from_data(DECADES, knots=DECADES[1:-1])
    np.testing.assert_allclose(basis.design(DECADES).sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(basis.integral(DECADES[0], DECADES[-1]).sum(), DECADES[-1], rtol=1e-14)
    with pytest.raises(sf.errors.KnotError, match="for example to log x"):
        sf.DifferencePenalty(2).matrix(basis)
    with pytest.raises(sf.errors.NumericalError, match="overflows"):
        sf.DerivativePenalty(2).matrix(basis)

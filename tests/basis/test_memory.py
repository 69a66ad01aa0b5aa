"""Tiny input that asks for more memory than there is, is refused at once."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit import _validation
from smoothfit.basis import bsp

LINE = sf.BSplineBasis.uniform(0, 1, 3)
MANY = sf.BSplineBasis.uniform(0, 1, 50_000)
FOURIER = sf.FourierBasis(1.0, 50_000)
CUBE = sf.TensorProductBasis(*[LINE] * 12)
X = np.linspace(0, 1, 20_000)


@pytest.fixture(autouse=True)
def _four_gigabytes(monkeypatch):
    monkeypatch.setattr(_validation, "available_memory", lambda: 4e9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sf.BSplineBasis.uniform(0, 1, 10**9),
        lambda: sf.PeriodicBSplineBasis.uniform(0, 1, 2**31),
        lambda: sf.NaturalSplineBasis.uniform(0, 1, 10**9),
        lambda: MANY.refine(2**20),
        lambda: sf.ISplineBasis.uniform(0, 1, 10**5).design([0.5]),
        lambda: sf.CSplineBasis.uniform(0, 1, 10**5).n_basis,
        lambda: MANY.design(X, sparse=False),
        lambda: MANY.penalty(2, sparse=False),
        lambda: MANY.integral(np.zeros(len(X)), np.ones(len(X)), sparse=True),
        lambda: FOURIER.design(X),
        lambda: FOURIER.integral(np.zeros(len(X)), np.ones(len(X))),
        lambda: FOURIER.penalty(2, sparse=False),
        lambda: sf.FourierBasis(1.0, 2**30).penalty(2),
        lambda: CUBE.design(np.full((5, 12), 0.5)),
        lambda: CUBE.integral(np.zeros(12), np.ones(12)),
        lambda: CUBE.penalty(0),
        lambda: CUBE.greville,
        lambda: sf.DerivativePenalty(2).matrix(CUBE),
        lambda: sf.DerivativePenalty(1000).matrix(CUBE),
        lambda: sf.DifferencePenalty(2, axis=0).matrix(CUBE),
        lambda: bsp(X, knots=X[1:-1]),
        lambda: sf.calculus.bohning_bound(np.ones((1, 100)), 1000),
        lambda: sf.calculus.softmax_jacobian(np.zeros(50_000)),
        lambda: sf.calculus.hessian(lambda x: (x**2).sum(axis=0), np.ones(2000)),
    ],
)
def test_is_refused(call):
    with pytest.raises(sf.errors.ResourceError, match=r"needs about [\d.,]+ [GT]B of memory, and 4\.0 GB are available; "):
        call()


def test_sparse_matrices_of_many_functions_are_made():
    assert MANY.penalty(2).shape == (MANY.n_basis, MANY.n_basis)
    assert FOURIER.penalty(2).nnz >= FOURIER.n_basis - 1
    assert CUBE.n_basis == 6**12


def test_partial_derivatives_of_a_plate_come_in_order():
    square = sf.TensorProductBasis(LINE, LINE)
    wanted = square.penalty((0, 2)) + 2 * square.penalty((1, 1)) + square.penalty((2, 0))
    np.testing.assert_array_equal(sf.DerivativePenalty(2).matrix(square).toarray(), wanted.toarray())

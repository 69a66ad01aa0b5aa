import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

UNEVEN = sf.BSplineBasis(np.r_[[0.0] * 4, 0.01, 0.3, 0.5, 0.6, 3.0, [4.0] * 4])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(
    "basis",
    [UNEVEN, sf.BSplineBasis(np.cumsum(np.r_[1.0, 3, 2, 0.1, 5, 1, 1, 2, 0.5, 1, 1])), sf.NaturalSplineBasis(UNEVEN.knots)],
    ids=["clamped", "unclamped", "natural"],
)
def test_polynomials_below_the_order_are_free_and_nothing_else_is(basis, order):
    x = np.linspace(*basis.domain, 200)
    free = 2 if isinstance(basis, sf.NaturalSplineBasis) else 3
    for penalty in (sf.DerivativePenalty(order), sf.DifferencePenalty(order)):
        P = penalty.matrix(basis).toarray()
        size = np.sqrt(np.outer(P.diagonal(), P.diagonal()))
        rank = np.linalg.matrix_rank(P / np.maximum(size, 1e-300) * (size > 0), tol=1e-11, hermitian=True)
        assert rank == basis.n_basis - min(order, free)
        for power in range(min(order, free)):
            coef = np.linalg.lstsq(basis.design(x, sparse=False), x**power, rcond=None)[0]
            assert np.abs(P @ coef).max() <= 1e-13 * np.abs(P).max() * np.abs(coef).max()


def test_differences_on_even_knots_are_those_of_eilers_and_marx():
    basis = sf.BSplineBasis(np.arange(-3.0, 14.0) / 7)
    D = np.diff(np.eye(basis.n_basis), 2, axis=0)
    np.testing.assert_allclose(sf.DifferencePenalty(2).differences(basis).toarray(), D, rtol=0, atol=1e-12)


def test_periodic_differences_close_the_circle():
    basis = sf.PeriodicBSplineBasis.uniform(0, 2, 8)
    D = sf.DifferencePenalty(2).differences(basis).toarray()
    circle = np.roll(np.eye(8), -1, 0) - 2 * np.eye(8) + np.roll(np.eye(8), 1, 0)
    assert {tuple(np.round(row, 10)) for row in D} == {tuple(row) for row in circle}
    P = sf.DifferencePenalty(2).matrix(basis).toarray()
    np.testing.assert_allclose(P @ np.ones(8), 0, atol=1e-12)
    assert np.linalg.matrix_rank(P, hermitian=True) == 7


def test_the_unit_of_x_scales_derivative_penalties_and_leaves_differences():
    metre, kilometre = UNEVEN, sf.BSplineBasis(UNEVEN.knots / 1024)
    for order in (1, 2, 3):
        ratio = 1024.0 ** (2 * order - 1)
        P = sf.DerivativePenalty(order).matrix(metre).toarray()
        np.testing.assert_array_equal(sf.DerivativePenalty(order).matrix(kilometre).toarray(), P * ratio)
        D = sf.DifferencePenalty(order).matrix(metre).toarray()
        np.testing.assert_array_equal(sf.DifferencePenalty(order).matrix(kilometre).toarray(), D)


def test_operators_with_numbers_are_sums_of_gram_matrices():
    basis = UNEVEN
    P = sf.DifferentialOperatorPenalty([0, 0, 1.0]).matrix(basis).toarray()
    expected = basis.penalty(2, sparse=False)
    np.testing.assert_allclose(P, expected, rtol=0, atol=1e-13 * expected.max())
    nodes, weights = np.polynomial.legendre.leggauss(6)
    half, middle = np.diff(basis.breaks) / 2, (basis.breaks[1:] + basis.breaks[:-1]) / 2
    x, w = (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()
    rows = 3 * basis.design(x, sparse=False) - 0.5 * basis.design(x, 1, sparse=False) + basis.design(x, 3, sparse=False)
    P = sf.DifferentialOperatorPenalty([3, -0.5, 0, 1]).matrix(basis).toarray()
    np.testing.assert_allclose(P, rows.T @ (w[:, None] * rows), rtol=0, atol=1e-12 * P.max())


def test_operators_free_what_they_annihilate():
    basis = sf.BSplineBasis.uniform(0, 2, 60, degree=5)
    x = np.linspace(0, 2, 800)
    for weights, functions in (
        ([9.0, 0, 1], [np.sin(3 * x), np.cos(3 * x)]),
        ([lambda t: -1 / (1 + t), 1.0], [1 + x]),
        ([lambda t: np.cos(t), lambda t: 1.0], [np.exp(-np.sin(x))]),
    ):
        P = sf.DifferentialOperatorPenalty(weights).matrix(basis).toarray()
        for f in functions:
            coef = np.linalg.lstsq(basis.design(x, sparse=False), f, rcond=None)[0]
            other = np.linalg.lstsq(basis.design(x, sparse=False), x**2, rcond=None)[0]
            assert coef @ P @ coef < 1e-10 * (other @ P @ other)


def test_penalties_add_and_keep_apart():
    total = sf.DerivativePenalty(1) + sf.DerivativePenalty(2) + sf.DifferencePenalty(1)
    assert len(total.penalties) == 3
    expected = sum(p.matrix(UNEVEN).toarray() for p in total.penalties)
    np.testing.assert_allclose(total.matrix(UNEVEN).toarray(), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.DerivativePenalty(-1), SpecificationError, "order is -1"),
        (lambda: sf.DifferencePenalty(0), SpecificationError, "order is 0"),
        (lambda: sf.DifferencePenalty(4).matrix(UNEVEN), SpecificationError, "order is 4, above the degree 3"),
        (lambda: sf.DifferencePenalty(1).matrix(sf.FourierBasis(1, 2)), SpecificationError, "use DerivativePenalty"),
        (lambda: sf.DifferentialOperatorPenalty([]), SpecificationError, r"weights is \[\]"),
        (lambda: sf.DifferentialOperatorPenalty(3.0), SpecificationError, "weights is 3.0"),
        (lambda: sf.DifferentialOperatorPenalty(["a"]), SpecificationError, r"weights\[0\] is a"),
        (lambda: sf.DerivativePenalty(2).matrix(3), SpecificationError, "basis is int"),
        (lambda: sf.DifferentialOperatorPenalty([np.nan]), SpecificationError, r"weights\[0\] is nan"),
        (lambda: sf.DifferentialOperatorPenalty([np.sin]).matrix(sf.FourierBasis(1, 2)), SpecificationError, "mix the harmonics"),
        (
            lambda: sf.DifferentialOperatorPenalty([1.0, lambda t: np.where(t > 3.5, np.inf, 1)]).matrix(UNEVEN),
            DataError,
            r"weights\[1\] is inf at x = 3",
        ),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_only_penalties_add():
    with pytest.raises(TypeError):
        sf.DerivativePenalty(1) + 2

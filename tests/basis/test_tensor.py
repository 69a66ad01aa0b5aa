import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

X, Y, Z = sf.BSplineBasis.uniform(0, 1, 4), sf.PeriodicBSplineBasis.uniform(-1, 1, 5, degree=2), sf.FourierBasis(2.0, 1)


@pytest.mark.parametrize(("factors", "orders"), [((X, Y), (1, 0)), ((X, Y), (2, 1)), ((Y, X, Z), (0, 2, 1))])
def test_rows_are_kronecker_products_of_rows(factors, orders):
    basis = sf.TensorProductBasis(*factors)
    points = np.random.default_rng(0).random((30, len(factors)))
    rows = [factor.design(points[:, i], orders[i], sparse=False) for i, factor in enumerate(factors)]
    values = basis.design(points, orders)
    for i in range(30):
        expected = rows[0][i]
        for row in rows[1:]:
            expected = np.kron(expected, row[i])
        np.testing.assert_array_equal(values[[i]].toarray()[0], expected)
    assert values.shape == (30, basis.n_basis)
    assert basis.shape == tuple(factor.n_basis for factor in factors)


def test_surfaces_are_contracted_one_variable_at_a_time():
    basis = sf.TensorProductBasis(X, Y)
    rng = np.random.default_rng(1)
    coef, points = rng.standard_normal(basis.shape), rng.random((50, 2))
    expected = np.einsum("ni,ij,nj->n", X.design(points[:, 0], sparse=False), coef, Y.design(points[:, 1], sparse=False))
    np.testing.assert_allclose(basis.design(points) @ coef.ravel(), expected, rtol=1e-12, atol=1e-14)


def test_integrals_and_penalties_are_products():
    basis = sf.TensorProductBasis(X, Y)
    box = basis.integral([0.1, -0.3], [0.9, 0.8])
    np.testing.assert_allclose(box[0], np.kron(X.integral(0.1, 0.9)[0], Y.integral(-0.3, 0.8)[0]), rtol=1e-15)
    P = basis.penalty((2, 0)) + 2 * basis.penalty((1, 1)) + basis.penalty((0, 2))
    coef = np.kron(np.ones(X.n_basis), np.ones(Y.n_basis))
    assert abs(coef @ P @ coef) < 1e-10
    linear = np.kron(X.greville, np.ones(Y.n_basis))  # f = x: int (f_x)^2 = area
    assert linear @ basis.penalty((1, 0)) @ linear == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize(
    "penalty",
    [
        sf.DerivativePenalty(2),
        sf.DerivativePenalty(3),
        sf.DerivativePenalty(2, axis=0),
        sf.DerivativePenalty(1, axis=1),
        sf.DifferencePenalty(2, axis=1),
        sf.DifferentialOperatorPenalty([4.0, 0.0, 1.0], axis=0),
    ],
)
def test_penalties_are_the_squares_of_their_roots(penalty):
    basis = sf.TensorProductBasis(X, Y)
    P, M = penalty.matrix(basis).toarray(), penalty.root(basis).toarray()
    np.testing.assert_allclose(M.T @ M, P, atol=1e-13 * np.abs(P).max())


def test_penalties_are_integrals_of_squared_derivatives():
    basis = sf.TensorProductBasis(X, sf.BSplineBasis.uniform(-1, 1, 3))
    f = sf.TensorSpline(basis, np.random.default_rng(2).standard_normal(basis.shape))
    nodes, weights = np.polynomial.legendre.leggauss(4)

    def square(orders):
        u = ((np.arange(4)[:, None] + (nodes + 1) / 2) / 4).ravel()
        v = ((np.arange(3)[:, None] + (nodes + 1) / 2) * 2 / 3 - 1).ravel()
        values = f(np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1), orders) ** 2
        return np.tile(weights, 4) / 8 @ values @ np.tile(weights, 3) / 3

    quadratic = lambda penalty: f.coef @ penalty.matrix(basis) @ f.coef  # noqa: E731
    assert quadratic(sf.DerivativePenalty(2)) == pytest.approx(square((2, 0)) + 2 * square((1, 1)) + square((0, 2)), rel=1e-12)
    assert quadratic(sf.DerivativePenalty(2, axis=1)) == pytest.approx(square((0, 2)), rel=1e-12)
    assert quadratic(sf.DifferentialOperatorPenalty([0, 1.0], axis=0)) == pytest.approx(square((1, 0)), rel=1e-12)


def test_tensor_splines_differentiate_and_integrate_exactly():
    basis = sf.TensorProductBasis(X, Y)
    f = sf.TensorSpline(basis, np.random.default_rng(3).standard_normal(basis.shape))
    points = np.random.default_rng(4).random((5, 7, 2))
    np.testing.assert_allclose(f.derivative((2, 1))(points), f(points, (2, 1)), rtol=1e-10, atol=1e-10)
    assert f(points[0, 0]) == f(points)[0, 0]
    g = f.derivative((1, 0))
    edge = (X.design(0.7, sparse=False) - X.design(0.1, sparse=False))[0] @ f.coef.reshape(basis.shape)
    assert g.integrate([0.1, -0.5], [0.7, 0.3]) == pytest.approx(sf.Spline(Y, edge).integrate(-0.5, 0.3), rel=1e-12)
    with pytest.raises(SpecificationError, match="not made of B-splines"):
        sf.TensorSpline(sf.TensorProductBasis(X, Z), np.ones((7, 3))).derivative((1, 0))
    with pytest.raises(SpecificationError, match="zero everywhere"):
        f.derivative((4, 0))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.TensorProductBasis(X), SpecificationError, "1 basis is given"),
        (lambda: sf.TensorProductBasis(X, 3), SpecificationError, "factor 1 is int"),
        (lambda: sf.TensorProductBasis(X, Y).design(np.ones((3, 3))), DataError, r"\(n, 2\): a point a row"),
        (lambda: sf.TensorProductBasis(X, Y).design([[0.5, 0.5]], 1), SpecificationError, "1 does not give an order for each of 2"),
        (lambda: sf.TensorProductBasis(X, Y).design("x"), DataError, "x"),
        (lambda: sf.TensorProductBasis(X, Y).design([[1.5, 0.5]]), DataError, r"x\[0\] = 1.5 is outside"),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call()

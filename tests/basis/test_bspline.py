import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import smoothfit as sf
from smoothfit.errors import DataError, KnotError, SpecificationError

EPS = np.finfo(float).eps


def random_basis(seed, degree, spread=0.0):
    """A basis with unclamped or clamped ends, repeated inner knots, and spacings over 10^(2 spread)."""
    rng = np.random.default_rng(seed)
    steps = 10.0 ** rng.uniform(-spread, spread, 2 * degree + 6)
    knots = np.cumsum(steps)
    if degree and seed % 2:
        knots = np.sort(np.r_[knots, np.repeat(knots[degree + 2], rng.integers(0, degree + 1))])
    if seed % 3 == 0:
        knots = np.r_[[knots[0]] * degree, knots, [knots[-1]] * degree]
    return sf.BSplineBasis(knots, degree)


def points_of(basis, seed=0, n=30):
    rng = np.random.default_rng(seed)
    breaks = basis.breaks
    piece = rng.integers(0, len(breaks) - 1, n)
    inside = breaks[piece] + rng.random(n) * np.diff(breaks)[piece]
    return np.concatenate([inside, breaks, np.nextafter(breaks[1:], -np.inf)])


@pytest.mark.parametrize("spread", [0.0, 3.0, 6.0])
@pytest.mark.parametrize("degree", range(6))
def test_rows_keep_their_digits(oracle, degree, spread):
    """Within 1e-13 of the row's largest entry, spacings from 10^-spread to 10^spread."""
    for seed in range(3):
        basis = random_basis(seed, degree, spread)
        reference = oracle(basis.knots, degree)
        for deriv in range(degree + 2):
            x = points_of(basis, n=8)
            values = basis.design(x, deriv, sparse=False)
            for xi, row in zip(x, values, strict=True):
                expected = reference.row(xi, deriv)
                assert np.abs(row - expected).max() <= 1e-13 * np.abs(expected).max()


@pytest.mark.parametrize("degree", [7, 10])
def test_high_degrees_keep_their_digits(oracle, degree):
    basis = sf.BSplineBasis.uniform(-1, 2, 3, degree=degree)
    reference = oracle(basis.knots, degree)
    for deriv in (0, 1, degree):
        for x in (-1.0, -0.3, 0.77, 2.0):
            expected = reference.row(x, deriv)
            assert np.abs(basis.design([x], deriv, sparse=False)[0] - expected).max() <= 1e-13 * np.abs(expected).max()


@pytest.mark.parametrize("width", [1e-12, 1e12])
def test_extreme_spacings(oracle, width):
    knots = np.r_[[0.0] * 4, width, 2 * width, 3 * width, 1 + 3 * width, [2 + 3 * width] * 4]
    basis, reference = sf.BSplineBasis(knots), oracle(knots, 3)
    for x in (0.0, 0.3 * width, width, 2.9 * width, 3 * width, 3 * width + 0.5, 2 + 3 * width):
        for deriv in range(4):
            expected = reference.row(x, deriv)
            assert np.abs(basis.design([x], deriv, sparse=False)[0] - expected).max() <= 1e-13 * np.abs(expected).max()


def test_the_reference_numbers_of_the_recursion():
    """Derivatives of R's splines2, right limit at an inner knot and left limit at the end."""
    basis = sf.BSplineBasis(np.r_[[0] * 4, 0.3, 0.5, 0.6, [1] * 4])
    for x, deriv, expected in (
        (0.1, 2, (44.4444444, -63.1111111, 12, 6.6666667, 0, 0, 0)),
        (0.3, 3, (0, -120, 386.6666667, -409.5238095, 142.8571429, 0, 0)),
        (1.0, 3, (0, 0, 0, -42.8571429, 177.8571429, -228.75, 93.75)),
    ):
        np.testing.assert_allclose(basis.design([x], deriv, sparse=False)[0], expected, rtol=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    steps=arrays(float, st.integers(1, 9), elements=st.floats(1e-3, 1e3)),
    degree=st.integers(0, 5),
    shares=arrays(float, 12, elements=st.floats(0, 1)),
    origin=st.floats(-100, 100),
)
def test_partition_of_unity_and_support(steps, degree, shares, origin):
    breaks = origin + np.concatenate([[0.0], np.cumsum(steps)])
    basis = sf.BSplineBasis(np.r_[[breaks[0]] * degree, breaks, [breaks[-1]] * degree], degree)
    x = np.clip(breaks[0] + shares * (breaks[-1] - breaks[0]), *basis.domain)
    values = basis.design(x)
    assert values.data.min() >= 0
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=0, atol=(degree + 2) * 2 * EPS)
    assert np.abs(basis.design(x, deriv=1).sum(axis=1)).max() <= 1e-13 * max(1.0, np.abs(basis.design(x, deriv=1).data).max())
    functions = np.arange(basis.n_basis)
    outside = (x[:, None] < basis.knots[functions]) | (x[:, None] > basis.knots[functions + degree + 1])
    assert not values.toarray()[outside].any()
    if degree:
        np.testing.assert_allclose(values @ basis.greville, x, rtol=0, atol=1e-13 * max(abs(breaks[0]), abs(breaks[-1])))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), degree=st.integers(0, 5), power=st.integers(-40, 40))
def test_rows_do_not_depend_on_the_unit_of_x(seed, degree, power):
    """Powers of two are exact: the rows of x in another unit are the same, bit for bit."""
    basis, unit = random_basis(seed, degree, 1.0), 2.0**power
    other = sf.BSplineBasis(basis.knots * unit, degree)
    x = points_of(basis, seed)
    np.testing.assert_array_equal(basis.design(x, sparse=False), other.design(x * unit, sparse=False))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 5])
def test_integrals_are_those_of_the_antiderivative(seed, degree, oracle):
    """The sum of positive pieces against sums of B-splines of one degree more."""
    basis = random_basis(seed, degree, 1.0)
    rng = np.random.default_rng(seed)
    lower, upper = basis.domain
    a, b = lower + (upper - lower) * rng.random((2, 40))
    a[:3], b[:3] = lower, (upper, lower, basis.breaks[1])
    values = basis.integral(a, b)
    padded = oracle(np.r_[basis.knots[0], basis.knots, basis.knots[-1]], degree + 1)
    width = (basis.knots[degree + 1 :] - basis.knots[: -degree - 1]) / (degree + 1)
    for i in range(40):
        rise = padded.row(b[i]) - padded.row(a[i])
        expected = width * (rise[::-1].cumsum()[::-1][1:])
        np.testing.assert_allclose(values[i], expected, rtol=0, atol=1e-13 * width.max())
    np.testing.assert_array_equal(basis.integral(b, a), -values)
    np.testing.assert_allclose(basis.integral(lower, upper, sparse=True).toarray(), basis.integral([lower], upper), rtol=0)


def test_integrals_over_tiny_intervals_keep_their_digits():
    basis = sf.BSplineBasis.uniform(0, 1, 10)
    a = np.array([0.123, 0.5, 0.999])
    b = a + 1e-9
    middle = basis.design((a + b) / 2, sparse=False) * (b - a)[:, None]
    np.testing.assert_allclose(basis.integral(a, b), middle, rtol=1e-13, atol=1e-17 * 1e-9)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_penalties_are_the_integrals_in_high_precision(oracle, seed, degree):
    basis = random_basis(seed, degree, 1.5)
    reference = oracle(basis.knots, degree)
    for order in range(degree + 1):
        expected = reference.gram(order)
        penalty = basis.penalty(order)
        size = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
        np.testing.assert_array_less(np.abs(penalty.toarray() - expected), 1e-13 * size + 1e-300)
        offsets = penalty.tocoo().row - penalty.tocoo().col
        assert np.abs(offsets).max() <= degree
    assert basis.penalty(degree + 1).nnz == 0


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_rows_within_pieces_are_those_at_x(degree):
    basis, u = random_basis(4, degree), np.array([0.25, 0.5, 0.75])
    x = (basis.breaks[:-1, None] + np.diff(basis.breaks)[:, None] * u).ravel()
    for deriv in range(degree + 2):
        expected = basis.design(x, deriv, sparse=False)
        np.testing.assert_allclose(
            basis.rows_within(u, deriv).toarray(), expected, rtol=0, atol=1e-13 * max(1.0, np.abs(expected).max())
        )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("degree", [0, 1, 3, 5])
def test_finer_bases_hold_the_same_functions(seed, degree):
    basis = random_basis(seed, degree, 0.5)
    coef = np.random.default_rng(seed).standard_normal((basis.n_basis, 2))
    x = points_of(basis, seed)
    expected = basis.design(x) @ coef
    lower, upper = basis.domain
    for finer in (basis.refine(3), basis.insert([lower / 3 + 2 * upper / 3]), basis.elevate(min(2, 10 - degree))):
        matrix = basis.matrix_to(finer)
        assert matrix.data.min() > 0  # averages
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-13)
        np.testing.assert_allclose(finer.design(x) @ (matrix @ coef), expected, rtol=0, atol=1e-13 * np.abs(coef).max())
    assert basis.refine(3).n_basis == basis.n_basis + 2 * (len(basis.breaks) - 1)


MODES = ("polynomial", "linear", "constant", "zero", "nan", "periodic")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_beyond_the_domain_the_basis_follows_its_extrapolation(mode, degree):
    inner = sf.BSplineBasis.uniform(-1, 2, 4, degree=degree)
    basis = sf.BSplineBasis(inner.knots, degree, extrapolate=mode)
    inside, beyond = np.linspace(-1, 2, 7), np.array([-4.2, -1.3, 2.1, 9.0])
    for deriv in range(4):
        np.testing.assert_array_equal(
            basis.design(inside[:-1], deriv, sparse=False), inner.design(inside[:-1], deriv, sparse=False)
        )
        values = basis.design(beyond, deriv, sparse=False)
        ends = np.where(beyond < 0, -1.0, 2.0)
        at_end = [inner.design(ends, k, sparse=False) for k in range(degree + 2)]
        expected = {
            "polynomial": sum(
                at_end[k] * ((beyond - ends) ** (k - deriv) / np.prod(np.arange(1, k - deriv + 1)))[:, None]
                for k in range(deriv, degree + 1)
            ),
            "linear": at_end[0] + (beyond - ends)[:, None] * at_end[1] if deriv == 0 else at_end[1] * (deriv == 1),
            "constant": at_end[0] * (deriv == 0),
            "zero": np.zeros_like(values),
            "nan": np.where(values == 0, 0, np.nan),
            "periodic": inner.design(np.mod(beyond + 1, 3) - 1, deriv, sparse=False),
        }[mode]
        np.testing.assert_allclose(
            values, expected + np.zeros_like(values), rtol=0, atol=1e-12 * np.nanmax(np.abs(values), initial=1)
        )


@pytest.mark.parametrize("mode", ["polynomial", "linear", "constant", "zero", "periodic"])
def test_integrals_beyond_the_domain_are_those_of_the_extended_functions(mode):
    basis = sf.BSplineBasis(np.r_[[0.0] * 4, 0.3, 1.2, [2.0] * 4], extrapolate=mode)
    lower, upper = np.array([-5.0, -1.0, 0.5, 1.0, -9.3]), np.array([-3.0, 0.7, 1.1, 7.7, 11.1])
    nodes, weights = np.polynomial.legendre.leggauss(4)
    for a, b, row in zip(lower, upper, basis.integral(lower, upper), strict=True):
        cuts = np.sort(np.r_[a, b, (np.r_[0, 0.3, 1.2] + 2 * np.arange(-8, 8)[:, None]).ravel()])
        cuts = cuts[(cuts >= a) & (cuts <= b)]
        half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
        values = basis.design((middle[:, None] + half[:, None] * nodes).ravel(), sparse=False)
        expected = (half[:, None] * weights).ravel() @ values
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12 * max(1.0, np.abs(expected).max()))


def test_order_of_x_does_not_matter_to_a_bit():
    basis = random_basis(7, 3, 3.0)
    x = points_of(basis, 7, 500)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_array_equal(basis.design(x, sparse=False)[order], basis.design(x[order], sparse=False))
    np.testing.assert_array_equal(basis.values_without(x, 2), basis.design(x, 0).toarray()[:, 2:])


def test_threads_do_not_disturb_each_other():
    basis = sf.BSplineBasis.uniform(0, 1, 50)
    x = np.random.default_rng(0).random((4, 20_000))
    results = [None] * 4

    def work(i):
        results[i] = basis.design(x[i], 1)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(results[i].data, basis.design(x[i], 1).data)


@pytest.mark.parametrize("kind", ["design", "values"])
def test_other_threads_go_on_during_a_kernel(kind):
    """The GIL is released: while one thread is inside a kernel, another one counts."""
    basis = sf.BSplineBasis.uniform(0, 1, 50)
    spline, x = sf.Spline(basis, np.ones(basis.n_basis)), np.random.default_rng(0).random(3_000_000)
    spline(x[:2])
    kernels, pieces = sf.basis.bspline._kernels, basis.lookup
    counts = [0]
    before, after = [], []

    def work():
        before.append(counts[0])
        if kind == "design":
            kernels.basis_rows(x, basis.knots, *pieces, 3, 0, True)
        else:
            kernels.spline_values(x, *pieces, *spline._kernel_pieces, True)
        after.append(counts[0])

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        counts[0] += 1
    thread.join()
    assert after[0] - before[0] > 100


def test_knots_from_data_are_quantiles():
    x = np.r_[np.random.default_rng(0).gamma(2, size=101), np.nan]
    basis = sf.BSplineBasis.from_data(x, df=8)
    assert basis.n_basis == 8
    np.testing.assert_allclose(basis.inner_knots, np.nanquantile(x, [0.2, 0.4, 0.6, 0.8]), rtol=1e-15)
    assert basis.domain == (np.nanmin(x), np.nanmax(x))
    inside = sf.BSplineBasis.from_data(x, knots=[1.0, 2.0], boundary=(0, 20), degree=2)
    assert (inside.n_basis, inside.domain) == (5, (0.0, 20.0))


X = np.linspace(0, 1, 5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.BSplineBasis.from_data(X, df=3), SpecificationError, "df is 3; a BSplineBasis of degree 3 has at least 4"),
        (lambda: sf.BSplineBasis.from_data(X, df=20), KnotError, "5 distinct values in the domain, too few for 16"),
        (lambda: sf.BSplineBasis.from_data([1.0, 1.0, 1.0, 2.0], df=6), KnotError, "lower df"),
        (lambda: sf.BSplineBasis.from_data([2.0, 2.0]), KnotError, "all 2 of x are 2.0"),
        (lambda: sf.BSplineBasis.from_data([np.nan]), DataError, "x is empty or all NaN"),
        (lambda: sf.BSplineBasis.from_data([0, np.inf]), DataError, r"x\[1\] is inf"),
        (lambda: sf.BSplineBasis.from_data(X, knots=[0.5, 1.5]), KnotError, r"knots\[1\] = 1.5 is not inside"),
        (lambda: sf.BSplineBasis.from_data(X, df=5, knots=[0.2, 0.5]), KnotError, "pass one of df and knots"),
        (lambda: sf.BSplineBasis.from_data(X, boundary=(1, 0)), KnotError, r"boundary is \(1, 0\)"),
        (lambda: sf.BSplineBasis.from_data(["a", "b"]), DataError, "pass numbers"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 0), SpecificationError, "n_segments is 0"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 2, extrapolate="flat"), SpecificationError, "extrapolate is 'flat'"),
        (lambda: sf.BSplineBasis([0, 0, 5e-324, 5e-324], degree=1), KnotError, r"knots\[1\] and knots\[2\] are 5e-324 apart"),
        (lambda: sf.BSplineBasis([-1e308, 0, 1, 1e308], degree=1), KnotError, "beyond floating-point numbers"),
        (
            lambda: sf.BSplineBasis.uniform(0, 1, 3).design([0.5, 1.01]),
            DataError,
            r"x\[1\] = 1.01 is outside the domain \[0.0, 1.0\]",
        ),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).design([0.5, np.nan]), DataError, r"x\[1\] is nan"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).design([np.inf]), DataError, r"x\[0\] = inf is outside"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3, extrapolate="linear").design([np.inf]), DataError, r"x\[0\] is inf"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).design(X, deriv=-1), SpecificationError, "deriv is -1"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).design(X, deriv=0.5), SpecificationError, "deriv is 0.5"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).integral([0, 0.5], [1, 2]), DataError, r"upper\[1\] = 2.0 is outside"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).integral([0, 0.5], [1, 1, 1]), DataError, "lower has 2 entries and upper 3"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).penalty(-1), SpecificationError, "order is -1"),
        (lambda: sf.BSplineBasis.uniform(0, 1, 3).insert([1.0]), KnotError, r"knots\[0\] = 1.0 is not inside"),
        (
            lambda: sf.BSplineBasis.uniform(0, 1, 3).matrix_to(sf.BSplineBasis.uniform(0, 1, 4)),
            KnotError,
            "to span this one",
        ),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call()

"""The kernels in double precision against themselves in quadruple precision, and against each other.

`tests/statespace` checks the formulas against an oracle of its own; here the subject is rounding, at sizes that no dense
oracle can reach.
"""

import ctypes
import os
import subprocess
from math import factorial
from pathlib import Path

import numpy as np
import pytest

import smoothfit as sf
from smoothfit._core import _kernels
from smoothfit.markov.bandwidth import lost_accuracy
from smoothfit.markov.rows import Rows

ORDERS = (1, 2, 3, 4)
MISSING = _kernels.MISSING


@pytest.fixture(scope="module")
def quadruple(tmp_path_factory):
    """The filter and smoother in quadruple precision: (rows, order, q, sigma2) -> (means, variances), terms.

    It takes seconds to compile, and all tests of a file run in one process: all that ask for it are here.
    """
    tests = Path(__file__).parents[1]
    library = tmp_path_factory.mktemp("quadruple") / "kernels.so"
    command = [os.environ.get("CXX", "c++"), "-std=c++17", "-O1", "-ffp-contract=off", "-DSMOOTHFIT_QUAD", "-shared", "-fPIC"]
    paths = [f"-I{tests.parent / 'smoothfit' / '_core'}", str(tests / "reference" / "kernels.cpp"), "-o", str(library)]
    try:
        compiled = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no C++ compiler is at hand")
    if compiled.returncode and "__float128" in compiled.stderr:
        pytest.skip("the compiler has no __float128")
    assert compiled.returncode == 0, compiled.stderr
    function = ctypes.CDLL(str(library)).smooth_reference

    def array(values, kind):
        values = np.ascontiguousarray(values, kind)
        return values, values.ctypes.data_as(ctypes.c_void_p)

    def smooth(rows, order, q, sigma2):
        kinds = (np.float64, np.uint8, np.uint8, np.float64, np.float64)
        held = [array(values, kind) for values, kind in zip(rows, kinds, strict=True)]
        variances, n = array(sigma2, np.float64), len(held[0][0])
        moments, terms = np.empty(2 * n * order), np.empty(3)
        places = [values.ctypes.data_as(ctypes.c_void_p) for values in (moments, terms)]
        nodes = function(
            ctypes.c_int64(n), *(p for _, p in held), order, ctypes.c_double(q), variances[1], ctypes.c_int64(len(sigma2)), *places
        )
        assert nodes > 0
        return moments[: 2 * nodes * order].reshape(2, nodes, order), terms

    return smooth


def make_rows(kind, order, bandwidth, n, rng):
    """Row arrays, and q, with mean spacing near one and a bandwidth of about `bandwidth` spacings."""
    delta, deriv = rng.exponential(size=n), np.zeros(n, np.uint8)
    ratio = np.ones(n)
    if kind == "heteroscedastic":
        ratio = 10.0 ** rng.uniform(-3, 3, n)
    elif kind == "clustered":
        delta = 10.0 ** rng.uniform(-6, 1, n)
    elif kind == "tied":
        delta[rng.random(n) < 0.2] = 1e-7
        delta[rng.random(n) < 0.3] = 0.0
    elif kind == "mixed":
        deriv = rng.integers(0, order, n).astype(np.uint8)
        deriv[:order] = 0
        ratio = 10.0 ** rng.uniform(-3, 3, n) * bandwidth ** (-2.0 * deriv)
    delta[0] = 0.0
    y = np.sqrt(ratio) * rng.standard_normal(n)
    return (delta, deriv, np.zeros(n, np.uint8), y, ratio), float(bandwidth) ** (-2 * order)


def posterior(rows, order, q, sigma2):
    """Packed posteriors of all nodes, and the filtered states."""
    filtered = _kernels.filter(_kernels.WienerRows(*rows), order, q, sigma2)
    gaps = rows[0][1:][rows[0][1:] > 0]
    return _kernels.smooth(gaps, order, q, filtered), filtered


def error_in_sd(order, packed, other):
    """Worst error of means in standard deviations, and of variances relative."""
    mean = np.abs(packed[:, :order] - other[:, :order]) / np.sqrt(_kernels.variances(order, other))
    return mean.max(), np.abs(_kernels.variances(order, packed) / _kernels.variances(order, other) - 1).max()


def grouped_rows(order, n=40, seed=0):
    """Observations of several orders in three groups."""
    rng = np.random.default_rng(seed)
    rows, q = make_rows("mixed", order, 3.0, n, rng)
    group = rng.integers(0, 3, n).astype(np.uint8)
    return (rows[0], rows[1], group, *rows[3:]), q, np.array([0.5, 1.0, 4.0])


@pytest.mark.parametrize("kind", ["irregular", "heteroscedastic", "clustered", "tied", "mixed"])
@pytest.mark.parametrize("bandwidth", [0.01, 1.0, 1e3, 1e4])
@pytest.mark.parametrize("order", ORDERS)
def test_posterior_keeps_its_digits(quadruple, order, bandwidth, kind):
    # What is promised is 1e-8 SD and 1e-7; the U D U' form keeps far more, and these bounds notice if it ceases to.
    rng = np.random.default_rng(order)
    rows, q = make_rows(kind, order, bandwidth, 250 if bandwidth < 1e3 else 1000, rng)
    result, _ = posterior(rows, order, q, np.ones(1))
    (mean, variance), terms = quadruple(rows, order, q, np.ones(1))
    assert np.max(np.abs(result[:, :order] - mean) / np.sqrt(variance)) < 1e-9
    assert np.max(np.abs(_kernels.variances(order, result) / variance - 1)) < 1e-9
    likelihood = _kernels.likelihood(_kernels.WienerRows(*rows), order, np.array([q]), np.ones((1, 1)))[:, 0]
    np.testing.assert_allclose(likelihood, terms, rtol=1e-12)


@pytest.mark.parametrize("bandwidth", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("gap", [1e3, 1e5, 1e6, 1e7])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_what_a_gap_costs_is_bounded(quadruple, order, gap, bandwidth):
    rng = np.random.default_rng(0)
    delta = rng.uniform(0.5, 1.5, 180)
    delta[60::60] = gap
    x, y = np.cumsum(delta) - delta[0], rng.standard_normal(180)
    rows, q, sigma2 = Rows.of(sf.observe(x, y)), bandwidth ** (-2.0 * order), np.ones(1)
    q *= rows.scale.x_unit ** (2 * order - 1)
    (mean, variance), _ = quadruple((rows.delta, rows.deriv, rows.group, rows.y, rows.ratio), order, q, sigma2)
    posterior = _kernels.smooth(rows.gaps, order, q, _kernels.filter(rows.checked, order, q, sigma2))
    error = np.max(np.abs(posterior[:, :order] - mean) / np.sqrt(variance))
    assert error < max(lost_accuracy(rows, order, q, sigma2), 1e-13)


@pytest.mark.parametrize("count", [2, 8, 9, 17])
@pytest.mark.parametrize("order", ORDERS)
def test_candidates_side_by_side_equal_single_ones(order, count):
    rows, q, sigma2 = grouped_rows(order)
    rng = np.random.default_rng(count)
    qs, variances = q * 10.0 ** rng.uniform(-4, 4, count), sigma2 * 10.0 ** rng.uniform(-2, 2, (count, 3))
    together = _kernels.likelihood(_kernels.WienerRows(*rows), order, qs, variances)
    singly = [
        _kernels.likelihood(_kernels.WienerRows(*rows), order, qs[i : i + 1], variances[i : i + 1])[:, 0] for i in range(count)
    ]
    # The same operations in the same order, but for when a product of determinants is turned into its logarithm.
    np.testing.assert_allclose(together, np.transpose(singly), rtol=1e-14, atol=1e-13)


def central_difference(function, step):
    """Derivative at zero, right to step^4."""
    near, far = function(step) - function(-step), function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize("order", ORDERS)
def test_gradient_is_that_of_the_likelihood(order):
    rows, q, sigma2 = grouped_rows(order)
    directions = np.vstack([np.eye(4), np.random.default_rng(1).standard_normal(4)])  # five: a block of three, one of two
    terms = _kernels.likelihood_gradient(_kernels.WienerRows(*rows), order, q, sigma2, directions)
    value = _kernels.likelihood(_kernels.WienerRows(*rows), order, np.array([q]), sigma2[None])[:, 0]
    np.testing.assert_allclose(terms[:, 0], value, rtol=1e-14)
    for i, direction in enumerate(directions):

        def along(t, step=direction):
            moved = sigma2 * np.exp(t * step[1:])
            return _kernels.likelihood(_kernels.WienerRows(*rows), order, np.array([q * np.exp(t * step[0])]), moved[None])[:, 0]

        # Terms of size 100 are right to 1e-14 of it, over a step of 5e-3 that leaves 1e-10; the neglected t^4 is as small.
        np.testing.assert_allclose(terms[:, 1 + i], central_difference(along, 5e-3), atol=1e-9)


@pytest.mark.parametrize("count", [1, 8, 11])
@pytest.mark.parametrize("order", ORDERS)
def test_derivatives_by_all_noise_are_those_of_the_gradient(order, count):
    rows, q, sigma2 = grouped_rows(order)
    rng = np.random.default_rng(count)
    qs, variances = q * 10.0 ** rng.uniform(-4, 4, count), sigma2 * 10.0 ** rng.uniform(-2, 2, (count, 3))
    together = _kernels.likelihood_noise(_kernels.WienerRows(*rows), order, qs, variances)
    direction = np.array([[0.0, 1, 1, 1]])
    singly = [
        _kernels.likelihood_gradient(_kernels.WienerRows(*rows), order, qs[i], variances[i], direction)[:2] for i in range(count)
    ]
    expected = np.transpose(singly, (2, 1, 0)).reshape(4, count)
    np.testing.assert_allclose(together, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_second_derivatives_are_those_of_the_gradient(order):
    rows, q, sigma2 = grouped_rows(order)
    rng = np.random.default_rng(2)
    directions, others = rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
    both = np.array([q, 2 * q]), np.array([sigma2, sigma2])
    terms = _kernels.likelihood_second(_kernels.WienerRows(*rows), order, *both, directions, others)[:, 0]
    gradient = _kernels.likelihood_gradient(_kernels.WienerRows(*rows), order, q, sigma2, directions)
    np.testing.assert_allclose(terms[:, :4], gradient, rtol=1e-12, atol=1e-12)
    for j, other in enumerate(others):

        def gradient_along(t, step=other):
            moved = q * np.exp(t * step[0]), sigma2 * np.exp(t * step[1:])
            return _kernels.likelihood_gradient(_kernels.WienerRows(*rows), order, *moved, directions)[:, 1:]

        np.testing.assert_allclose(terms[:, 4 + j :: 2], central_difference(gradient_along, 2e-3), atol=1e-9)


def test_second_derivatives_along_the_same_directions_are_symmetric():
    rows, q, sigma2 = grouped_rows(3)
    directions = np.random.default_rng(3).standard_normal((3, 4))
    both = np.array([q, 2 * q]), np.array([sigma2, sigma2])
    same = _kernels.likelihood_second(_kernels.WienerRows(*rows), 3, *both, directions, directions)
    other = _kernels.likelihood_second(_kernels.WienerRows(*rows), 3, *both, directions, directions.copy())
    np.testing.assert_allclose(same, other, rtol=1e-11, atol=1e-11)
    single = _kernels.likelihood_second(_kernels.WienerRows(*rows), 3, *(part[1:] for part in both), directions, directions)
    np.testing.assert_array_equal(same[:, 1:], single)  # candidates side by side
    second = same[:, 0, 4:].reshape(3, 3, 3)
    np.testing.assert_array_equal(second, second.transpose(0, 2, 1))


@pytest.mark.parametrize("order", ORDERS)
def test_prediction_equals_smoothing_with_a_row_that_reads_nothing(order):
    rng = np.random.default_rng(order)
    (delta, deriv, group, y, ratio), q = make_rows("mixed", order, 2.0, 30, rng)
    rows = (delta, deriv, group, y, ratio)
    packed, filtered = posterior(rows, order, q, np.ones(1))
    x, asked = np.cumsum(delta), np.array([-2.0, 0.37, 5.1, 11.3, 14.9, 1e3])
    left = np.searchsorted(x, asked, side="right") - 1
    ahead, behind = asked - x[np.maximum(left, 0)], x[np.minimum(left + 1, 29)] - asked
    predicted = _kernels.predict(order, q, filtered, packed, left, ahead, behind)
    for i, at in enumerate(asked):
        row = left[i] + 1
        steps = np.insert(delta, row, ahead[i] if row > 0 else 0.0)
        if row < 30:
            steps[row + 1] = behind[i]
        inserted = [np.insert(column, row, value) for column, value in zip(rows[1:], (MISSING, 0, 0.0, 1.0), strict=True)]
        whole, _ = posterior((steps, *inserted), order, q, np.ones(1))
        mean, variance = error_in_sd(order, predicted[i : i + 1], whole[row : row + 1])
        assert mean < 1e-12, at
        assert variance < 1e-12, at


def test_prediction_at_a_node_is_its_posterior():
    rows, q = make_rows("mixed", 3, 2.0, 20, np.random.default_rng(5))
    packed, filtered = posterior(rows, 3, q, np.ones(1))
    gaps = np.append(rows[0][1:], 0.0)
    predicted = _kernels.predict(3, q, filtered, packed, np.arange(20), np.zeros(20), gaps)
    np.testing.assert_array_equal(predicted[:-1], packed[:-1])
    assert max(error_in_sd(3, predicted[-1:], packed[-1:])) < 1e-14


@pytest.mark.parametrize("order", ORDERS)
def test_higher_derivatives_lead_from_node_to_node(order):
    rows, q = make_rows("mixed", order, 2.0, 30, np.random.default_rng(order))
    packed, filtered = posterior(rows, order, q, np.ones(1))
    gaps = rows[0][1:]
    higher = _kernels.higher_derivatives(gaps, order, q, filtered, packed)
    taylor = np.hstack([packed[1:, :order], higher])  # at the right ends: back by the polynomial's own Taylor series
    sd = np.sqrt(_kernels.variances(order, packed))
    for k in range(order):
        terms = [taylor[:, j] * (-gaps) ** (j - k) / factorial(j - k) for j in range(k, 2 * order)]
        size = np.maximum(sd[:-1, k], np.max(np.abs(terms), axis=0))
        assert np.max(np.abs(sum(terms) - packed[:-1, k]) / size) < 1e-12


@pytest.mark.parametrize("order", ORDERS)
def test_readings_at_one_abscissa_come_in_any_order(order):
    rng = np.random.default_rng(order)
    (delta, *columns), q = make_rows("mixed", order, 2.0, 24, rng)
    delta[np.arange(24) % 3 > 0] = 0.0
    shuffled = np.concatenate([3 * i + rng.permutation(3) for i in range(8)])
    one, _ = posterior((delta, *columns), order, q, np.ones(1))
    other, _ = posterior((delta, *[column[shuffled] for column in columns]), order, q, np.ones(1))
    mean, variance = error_in_sd(order, one, other)
    assert mean < 1e-11
    assert variance < 1e-11


@pytest.mark.parametrize("exponent", [-60, -1, 33])
@pytest.mark.parametrize("order", ORDERS)
def test_unit_of_x_does_not_reach_the_arithmetic(order, exponent):
    (delta, deriv, group, y, ratio), q = make_rows("mixed", order, 2.0, 40, np.random.default_rng(order))
    unit = 2.0**exponent
    to_unit = unit ** -deriv.astype(float)
    scaled = (delta * unit, deriv, group, y * to_unit, ratio * to_unit**2)
    packed, _ = posterior((delta, deriv, group, y, ratio), order, q, np.ones(1))
    other, _ = posterior(scaled, order, q * unit ** (1.0 - 2 * order), np.ones(1))
    units = unit ** -np.arange(order, dtype=float)
    np.testing.assert_array_equal(other[:, :order], packed[:, :order] * units)
    np.testing.assert_array_equal(_kernels.variances(order, other), _kernels.variances(order, packed) * units**2)


@pytest.mark.parametrize(
    ("delta", "deriv", "mask"),
    [
        ([0, 1, 1, 1], [1, 1, 1, 1], 0b001),  # slopes alone: the level
        ([0, 1, 1, 1], [2, 2, 2, 2], 0b011),  # curvatures alone: level and slope
        ([0, 0, 0, 0], [0, 0, 0, 0], 0b110),  # one x: slope and curvature
        ([0, 0, 1, 0], [0, 0, 0, 0], 0b100),  # two values of x: the curvature
        ([0, 1, 1, 1], [0, MISSING, MISSING, MISSING], 0b110),
    ],
)
def test_what_no_reading_fixes_is_reported(delta, deriv, mask):
    zeros = np.zeros(4, np.uint8)
    rows = (np.array(delta, float), np.array(deriv, np.uint8), zeros, np.ones(4), np.ones(4))
    for call in (
        lambda: _kernels.require_identified(_kernels.WienerRows(*rows), 3, np.ones(1)),
        lambda: _kernels.filter(_kernels.WienerRows(*rows), 3, 1.0, np.ones(1)),
        lambda: _kernels.likelihood(_kernels.WienerRows(*rows), 3, np.ones(9), np.ones((9, 1))),
        lambda: _kernels.likelihood_gradient(_kernels.WienerRows(*rows), 3, 1.0, np.ones(1), np.eye(2)),
        lambda: _kernels.likelihood_second(_kernels.WienerRows(*rows), 3, np.ones(1), np.ones((1, 1)), np.eye(2), np.eye(2)),
    ):
        with pytest.raises(_kernels.KernelError) as caught:
            call()
        assert caught.value.args == ("unidentified", mask)


@pytest.mark.parametrize(
    ("order", "steps", "deriv"),
    [
        (3, [0, 1, 1], [0, 1, 0]),  # the slope of a parabola in the middle is that of its chord
        (4, [0, 1, 0, 1], [0, 0, 2, 0]),  # the second difference of a cubic is its curvature in the middle
    ],
)
def test_readings_that_repeat_what_others_say_are_not_taken_for_more(order, steps, deriv):
    # With values of x at 0, d, 2d only rounding tells these observations apart from sufficient ones.
    n = len(steps)
    for d in np.random.default_rng(0).uniform(0.1, 2, 50):
        for last in (d, np.nextafter(d, 0), np.nextafter(d, 3)):
            delta = d * np.array(steps)
            delta[-1] = last
            rows = (delta, np.array(deriv, np.uint8), np.zeros(n, np.uint8), np.ones(n), np.ones(n))
            with pytest.raises(_kernels.KernelError) as caught:
                _kernels.require_identified(_kernels.WienerRows(*rows), order, np.ones(1))
            assert caught.value.args == ("unidentified", 1 << (order - 1))


@pytest.mark.parametrize("ratio", [1e300, np.nan, 1e-300])
def test_variances_out_of_range_are_reported_with_their_row(ratio):
    rows = (np.array([0.0, 1, 1, 0]), *np.zeros((2, 4), np.uint8), np.ones(4), np.array([1, 1, 1, ratio]))
    if ratio == 1e-300:  # the first of two such observations at one x is still uncertain, the second is not
        rows[4][2] = ratio
    with pytest.raises(_kernels.KernelError) as caught:
        _kernels.filter(_kernels.WienerRows(*rows), 2, 1.0, np.ones(1))
    assert caught.value.args == ("overflow", 3)


def broken(**changes):
    """Rows and order of four observations at order 2, some replaced."""
    arguments = {"delta": np.ones(4), "deriv": np.zeros(4, np.uint8), "group": np.zeros(4, np.uint8), "y": np.ones(4)}
    arguments |= {"ratio": np.ones(4), "order": 2} | changes
    order = arguments.pop("order")
    return _kernels.WienerRows(**arguments), order


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 0}, "order"),
        ({"order": 6}, "order"),
        ({"y": np.ones(3)}, "differ in length"),
        ({"ratio": np.ones(5)}, "differ in length"),
        ({"group": np.zeros(3, np.uint8)}, "differ in length"),
        ({"deriv": np.full(4, 2, np.uint8)}, "deriv"),
        ({"group": np.ones(4, np.uint8)}, "group"),
        ({name: np.empty(0) for name in ("delta", "y", "ratio")}, "no rows"),
    ],
)
def test_rows_that_would_be_read_out_of_bounds_are_refused(changes, message):
    for call in (
        lambda: _kernels.filter(*broken(**changes), 1.0, np.ones(1)),
        lambda: _kernels.likelihood(*broken(**changes), np.ones(2), np.ones((2, 1))),
        lambda: _kernels.likelihood_noise(*broken(**changes), np.ones(2), np.ones((2, 1))),
        lambda: _kernels.likelihood_gradient(*broken(**changes), 1.0, np.ones(1), np.eye(2)),
        lambda: _kernels.likelihood_second(*broken(**changes), np.ones(1), np.ones((1, 1)), np.eye(2), np.eye(2)),
        lambda: _kernels.require_identified(*broken(**changes), np.ones(1)),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: _kernels.likelihood(*broken(), np.ones(2), np.ones((3, 1))),
        lambda: _kernels.likelihood(*broken(), np.ones(2), np.ones(2)),
        lambda: _kernels.likelihood(*broken(), np.ones(1), np.ones((1, 65))),
        lambda: _kernels.likelihood_noise(*broken(), np.ones(2), np.ones((3, 1))),
        lambda: _kernels.likelihood_gradient(*broken(), 1.0, np.ones(1), np.eye(3)),
        lambda: _kernels.likelihood_gradient(*broken(), 1.0, np.ones(1), np.ones((0, 2))),
        lambda: _kernels.likelihood_gradient(*broken(), 1.0, np.ones(1), np.ones(2)),
        lambda: _kernels.likelihood_second(*broken(), np.ones(1), np.ones((1, 1)), np.eye(2), np.eye(3)),
        lambda: _kernels.smooth(np.ones(3), 2, 1.0, np.ones((3, 5))),
        lambda: _kernels.smooth(np.ones(2), 2, 1.0, np.ones((3, 4))),
        lambda: _kernels.smooth(np.ones(2), 6, 1.0, np.ones((3, 27))),
        lambda: _kernels.variances(2, np.ones((3, 4))),
        lambda: _kernels.variances(0, np.ones((3, 0))),
        lambda: _kernels.higher_derivatives(np.ones(2), 2, 1.0, np.ones((3, 5)), np.ones((2, 5))),
        lambda: _kernels.predict(2, 1.0, np.ones((3, 5)), np.ones((2, 5)), np.zeros(1, np.int64), np.ones(1), np.ones(1)),
        lambda: _kernels.predict(2, 1.0, np.ones((3, 5)), np.ones((3, 5)), np.array([3]), np.ones(1), np.ones(1)),
        lambda: _kernels.predict(2, 1.0, np.ones((3, 5)), np.ones((3, 5)), np.array([-2]), np.ones(1), np.ones(1)),
        lambda: _kernels.predict(2, 1.0, np.ones((3, 5)), np.ones((3, 5)), np.array([0]), np.ones(2), np.ones(1)),
    ],
)
def test_arrays_of_other_shapes_are_refused(call):
    with pytest.raises(
        ValueError, match=r"^(order|q|directions|others|filtered|posterior|left|packed states) (is|are)|differ|too many groups"
    ):
        call()

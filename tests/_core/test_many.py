"""The kernels of many series against those of one, on one thread and on several, and what they refuse."""

from itertools import pairwise

import numpy as np
import pytest

from smoothfit._core import _kernels
from smoothfit.inference import newton
from smoothfit.results.mixtures import Mixture, standard_law, standard_quantile
from smoothfit.statespace.batch import SETTINGS

ORDERS = (1, 2, 3, 4)
START = np.concatenate([[0], np.cumsum(np.random.default_rng(0).integers(9, 30, 40))])  # more series than a thread takes at once
N = START[-1]


def make_series(order):
    """Rows of all series, with ties and slopes, and the values of x."""
    rng = np.random.default_rng(order)
    delta = rng.uniform(0.2, 2, N)
    delta[rng.random(N) < 0.1] = 0.0
    delta[START[:-1]] = 0.0
    x = np.concatenate([np.cumsum(part) for part in np.split(delta, START[1:-1])])
    deriv = (rng.random(N) < 0.2).astype(np.uint8) * (order > 1)
    ratio = rng.uniform(0.5, 2, N)
    y = 3 * np.where(deriv, np.cos(x), np.sin(x)) + np.sqrt(ratio) * rng.standard_normal(N)
    return (delta, deriv.astype(np.uint8), np.zeros(N, np.uint8), y, ratio), x


def side_by_side(start, *rows):
    return _kernels.WienerSeries(start, _kernels.WienerRows(*rows))


def each(rows):
    return [tuple(column[low:high] for column in rows) for low, high in pairwise(START)]


@pytest.mark.parametrize("count", [1, 8, 11])
@pytest.mark.parametrize("order", ORDERS)
def test_sums_are_those_of_the_series(order, count):
    rows, _ = make_series(order)
    q = 10.0 ** np.random.default_rng(count).uniform(-3, 3, count)
    expected = sum(
        np.array(_kernels.likelihood(_kernels.WienerRows(*one), order, q, np.ones((count, 1))))[:2] for one in each(rows)
    )
    which, many = np.arange(len(START) - 1), np.tile(q, (len(START) - 1, 1))
    terms = _kernels.terms_many(side_by_side(START, *rows), which, order, many, 1)
    np.testing.assert_allclose(terms.sum(axis=1), expected, rtol=1e-12)
    np.testing.assert_array_equal(_kernels.terms_many(side_by_side(START, *rows), which, order, many, 3), terms)


@pytest.mark.parametrize("order", ORDERS)
def test_second_derivatives_are_sums_of_those_of_the_series(order):
    rows, _ = make_series(order)
    by_q = np.array([[1.0, 0.0]])
    terms = [
        np.array(_kernels.likelihood_second(_kernels.WienerRows(*one), order, np.array([0.3]), np.ones((1, 1)), by_q, by_q))[:2, 0]
        for one in each(rows)
    ]
    sums = _kernels.sum_many_second(side_by_side(START, *rows), order, 0.3, 1)
    np.testing.assert_allclose(sums, sum(terms), rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(_kernels.sum_many_second(side_by_side(START, *rows), order, 0.3, 3), sums)


def moments(one, x, order, q, sigma2, at):
    """Posterior means and variances of f^(order - 1) of a single series."""
    filtered = _kernels.filter(_kernels.WienerRows(*one), order, q, np.array([sigma2]))
    nodes = np.unique(x)
    posterior = _kernels.smooth(np.diff(nodes), order, q, filtered)
    left = np.searchsorted(nodes, at, side="right") - 1
    ahead, behind = at - nodes[np.maximum(left, 0)], nodes[np.minimum(left + 1, len(nodes) - 1)] - at
    state = _kernels.predict(order, q, filtered, posterior, left, ahead, behind)
    return state[:, order - 1], _kernels.variances(order, state)[:, order - 1]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_predictions_are_those_of_the_series(order, threads):
    rows, x = make_series(order)
    rng = np.random.default_rng(3)
    q, sigma2 = 10.0 ** rng.uniform(-1, 1, 40), rng.uniform(0.5, 2, 40)
    at = rng.uniform(-3, 40, 9)
    mean, variance = _kernels.predict_many(side_by_side(START, *rows), x, np.ones(40), order, q, sigma2, order - 1, at, threads)
    for i, one in enumerate(each(rows)):
        expected = moments(one, x[START[i] : START[i + 1]], order, q[i], sigma2[i], at)
        np.testing.assert_allclose(mean[i], expected[0], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(variance[i], expected[1], rtol=1e-8)


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_intervals_are_quantiles_of_mixtures_of_single_posteriors(order, is_known):
    """In one pack there are intensities at which the smoother takes its one form and such at which it takes the other."""
    rows, x = make_series(order)
    rng, which, df = np.random.default_rng(order), np.array([3, 0, 17]), np.inf if is_known else 7.0
    q, weights = 10.0 ** rng.uniform(-9, 9, (3, 12)), rng.dirichlet(np.ones(11), 3)
    q[0, 0] = weights[1, 4] = 0.0
    sigma2, at = rng.uniform(0.5, 2, 3) * is_known, rng.uniform(-3, 40, 9)
    asked = which, x, np.ones(40), order, q, weights, sigma2, order - 1, at, standard_law(df), 0.05, standard_quantile(df, 0.05)
    found = _kernels.intervals_many(side_by_side(START, *rows), *asked, 1)
    np.testing.assert_array_equal(_kernels.intervals_many(side_by_side(START, *rows), *asked, 3), found)
    for c, i in enumerate(which):
        one, mine = each(rows)[i], x[START[i] : START[i + 1]]
        each_q = np.array([moments(one, mine, order, value, 1.0, at) for value in q[c]])
        sse = _kernels.likelihood(_kernels.WienerRows(*one), order, q[c], np.ones((12, 1)))[1]
        scale2 = (sigma2[c] if is_known else sse / (len(mine) - order)) * np.ones(12)
        np.testing.assert_allclose(found[0, c], each_q[0, 0], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found[1, c], scale2[0] * each_q[0, 1], rtol=1e-8)
        law = Mixture(each_q[1:, 0], scale2[1:, None] * each_q[1:, 1], weights[c], df)
        lower, upper = law.interval(0.1).T
        assert np.abs(found[2:, c] - [lower, upper]).max() < 1e-5 * (upper - lower).max()


def test_a_series_that_no_reading_fixes_has_no_predictions():
    rows, x = make_series(2)
    rows[1][START[5] : START[6]] = 1  # slopes alone
    mean, variance = _kernels.predict_many(
        side_by_side(START, *rows), x, np.ones(40), 2, np.ones(40), np.ones(40), 0, np.array([1.0]), 2
    )
    np.testing.assert_array_equal(np.isnan(mean[:, 0]), np.arange(40) == 5)
    np.testing.assert_array_equal(np.isnan(variance), np.isnan(mean))
    terms = _kernels.terms_many(side_by_side(START, *rows), np.arange(40), 2, np.ones((40, 3)), 2)
    np.testing.assert_array_equal(np.isnan(terms), np.broadcast_to((np.arange(40) == 5)[:, None], (2, 40, 3)))
    with pytest.raises(_kernels.KernelError):
        _kernels.sum_many_second(side_by_side(START, *rows), 2, 1.0, 2)


def fit(rows, order, scale_free, threads):
    return _kernels.fit_many(side_by_side(START, *rows), rows[4], order, scale_free, SETTINGS, threads)


@pytest.mark.parametrize("scale_free", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_fits_are_optima_of_the_likelihood(order, scale_free):
    rows, _ = make_series(order)
    found = fit(rows, order, scale_free, 1)
    np.testing.assert_array_equal(fit(rows, order, scale_free, 3), found)
    inside = 0
    for one, (log_q, value, _, sse, edf, design, ending, *likely) in zip(each(rows), found, strict=True):
        assert likely[0] <= log_q <= likely[1]
        nearby = log_q + np.array([0.0, -0.01, 0.01])
        log_det, squares, _ = np.array(_kernels.likelihood(_kernels.WienerRows(*one), order, np.exp(nearby), np.ones((3, 1))))
        n = len(one[0])
        values = log_det + ((n - order) * np.log(squares) if scale_free else squares)
        plain = _kernels.likelihood(_kernels.WienerRows(*one), order, np.zeros(1), np.ones((1, 1)))
        assert design == pytest.approx(plain[0, 0], rel=1e-12)
        if ending == 0:
            inside += 1
            assert (values[1:] > values[0]).all()
            assert sse == pytest.approx(squares[0], rel=1e-9)
            by_noise = _kernels.likelihood_gradient(
                _kernels.WienerRows(*one), order, np.exp(log_q), np.ones(1), np.array([[0.0, 1.0]])
            )
            assert edf == pytest.approx(n - by_noise[0, 1], rel=1e-9)
        assert np.isfinite(value)
    assert inside > 10


def changed(**changes):
    names = ("start", "delta", "deriv", "group", "y", "ratio")
    given = dict(zip(names, (START, *make_series(2)[0]), strict=True))
    return {**given, **{name: change(given[name]) for name, change in changes.items()}}


@pytest.mark.parametrize(
    "changes",
    [
        {"start": lambda v: v[:1]},
        {"start": lambda v: v[:-1]},
        {"start": lambda v: v[1:]},
        {"start": lambda v: np.concatenate([v[:4], v[3:]])},
        {"start": lambda v: np.concatenate([v[:4], v[-1:] + 9, v[4:]])},
        {"deriv": lambda v: v + np.uint8(2)},
        {"group": lambda v: v + np.uint8(1)},
        {"y": lambda v: v[:-1]},
    ],
)
def test_rows_are_checked(changes):
    x, rows = np.zeros(N), changed(**changes).values()
    for call in (
        lambda: _kernels.terms_many(side_by_side(*rows), np.arange(40), 2, np.ones((40, 1)), 1),
        lambda: _kernels.sum_many_second(side_by_side(*rows), 2, 1.0, 1),
        lambda: _kernels.fit_many(side_by_side(*rows), np.ones(N), 2, True, SETTINGS, 1),
        lambda: _kernels.predict_many(side_by_side(*rows), x, np.ones(40), 2, np.ones(40), np.ones(40), 0, np.ones(1), 1),
    ):
        with pytest.raises(ValueError, match=r"start|empty|deriv|group|differ"):
            call()


SERIES = side_by_side(*changed().values())


def settings(**changes):
    """A search's settings, some replaced."""
    names = ("limit", "coarse", "exact_sd", "decrement", "near", "level", "hopeless", "flat", "longest_step")
    given = dict.fromkeys(names, 1.0) | {"grid": 8, "max_iterations": 9, "interpolation": newton.interpolation()}
    return _kernels.SearchSettings(**(given | changes))


@pytest.mark.parametrize(
    "call",
    [
        lambda: _kernels.terms_many(SERIES, np.arange(40), 2, np.ones(40), 1),
        lambda: _kernels.fit_many(SERIES, np.ones(N - 1), 2, True, SETTINGS, 1),
        lambda: _kernels.fit_many(SERIES, np.ones(N), 5, True, SETTINGS, 1),
        lambda: settings(interpolation=newton.interpolation()[:-1]),
        lambda: settings(grid=65),
        lambda: _kernels.predict_many(SERIES, np.ones(N - 1), np.ones(40), 2, np.ones(40), np.ones(40), 0, np.ones(1), 1),
        lambda: _kernels.predict_many(SERIES, np.ones(N), np.ones(39), 2, np.ones(40), np.ones(40), 0, np.ones(1), 1),
        lambda: _kernels.predict_many(SERIES, np.ones(N), np.ones(40), 2, np.ones(41), np.ones(40), 0, np.ones(1), 1),
        lambda: _kernels.predict_many(SERIES, np.ones(N), np.ones(40), 2, np.ones(40), np.ones(1), 0, np.ones(1), 1),
        lambda: _kernels.predict_many(SERIES, np.ones(N), np.ones(40), 2, np.ones(40), np.ones(40), 2, np.ones(1), 1),
    ],
)
def test_sizes_are_checked(call):
    with pytest.raises(ValueError, match=r"q is|differ|order|interpolation|grid|deriv"):
        call()

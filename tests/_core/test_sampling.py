"""Draws, scores of shocks and streams against dense algebra and the filter, and what they refuse."""

from math import factorial

import numpy as np
import pytest

from smoothfit._core import _kernels

ORDERS = (1, 2, 3, 4)
Q = 0.7


def make_rows(order, n=16, seed=0):
    """Observations of several orders in two groups; some share a value of x, one row reads nothing."""
    rng = np.random.default_rng(seed)
    delta = rng.uniform(0.2, 2, n)
    delta[[0, 7, 11]] = 0.0
    deriv = rng.integers(0, order, n).astype(np.uint8)
    deriv[:order], deriv[9] = 0, _kernels.MISSING
    return delta, deriv, rng.integers(0, 2, n).astype(np.uint8), rng.standard_normal(n), rng.uniform(0.5, 2, n)


SIGMA2 = np.array([0.5, 2.0])


def wiener(d, order):
    """Transition and covariance of an integrated Wiener process over a step d."""
    T = np.array([[d ** (j - i) / factorial(j - i) if j >= i else 0.0 for j in range(order)] for i in range(order)])
    left = [(order - 1 - i, factorial(order - 1 - i)) for i in range(order)]
    return T, Q * np.array([[d ** (a + b + 1) / ((a + b + 1) * f * g) for b, g in left] for a, f in left])


def by_dense_algebra(dense, order, delta, deriv, group, y, ratio, shift=None):
    """The posterior of all states, node by node, and (n, nodes, order): what a shock at a node adds to an observation."""
    node = np.cumsum(delta > 0)
    steps = [wiener(d, order) for d in (0.0, *delta[delta > 0])]
    T, covariances = (np.array(part) for part in zip(*steps, strict=True))
    n, read = len(T), deriv != _kernels.MISSING
    H, noise = np.eye(order)[np.minimum(deriv, order - 1)][read], (ratio * SIGMA2[group])[read]
    every = np.tile(np.eye(order), (n, 1)), np.repeat(np.arange(n), order)
    posterior = dense(
        T, covariances, np.eye(order), np.zeros((order, order)), np.zeros((n, order)), H, node[read], noise, y[read], *every
    )
    effect = np.zeros((n, n, order, order))
    for i in range(n):
        effect[i, i] = np.eye(order)
        for k in range(i + 1, n):
            effect[k, i] = T[k] @ effect[k - 1, i]
    return posterior, np.einsum("rm,rnmj->rnj", H, effect[node[read]])


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_draws_have_the_covariance_of_the_posterior(dense, order, every):
    rows = make_rows(order)
    posterior, _ = by_dense_algebra(dense, order, *rows)
    filtered = _kernels.filter(_kernels.WienerRows(*rows), order, Q, SIGMA2)
    keep = np.zeros(len(filtered), np.uint8)
    keep[1::every] = 1
    links = _kernels.links(rows[0][rows[0] > 0], order, Q, filtered, keep)
    n_kept = keep.sum()
    # draws are linear in the normal numbers: from the columns of the identity, a root of the covariance
    normal = np.eye(n_kept * order).reshape(-1, n_kept, order)
    root = _kernels.draw(order, links, normal, np.arange(order)).transpose(2, 0, 1).reshape(n_kept * order, -1)
    places = (np.flatnonzero(keep)[:, None] * order + np.arange(order)).ravel()
    expected = posterior.covariance[np.ix_(places, places)]
    # at order 4 processors whose linear algebra differs round by up to 1.4e-8 of the largest entry
    np.testing.assert_allclose(root @ root.T, expected, atol=(1e-7 if order == 4 else 1e-8) * np.abs(expected).max())
    last = _kernels.draw(order, links, normal, np.array([order - 1]))
    np.testing.assert_array_equal(last[0].T, root.reshape(n_kept, order, -1)[:, -1])


@pytest.mark.parametrize("order", ORDERS)
def test_scores_of_shocks_are_those_of_added_variables(dense, order):
    rows = make_rows(order)
    posterior, effect = by_dense_algebra(dense, order, *rows)
    errors, scores, diffuse = _kernels.shocks(_kernels.WienerRows(*rows), order, Q, SIGMA2)
    read = rows[1] != _kernels.MISSING
    assert diffuse.sum() == order
    np.testing.assert_allclose(errors[read, 0], posterior.scores, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(errors[read, 1], np.diag(posterior.precision), rtol=1e-7)
    known = np.cumsum(rows[0] > 0)[np.flatnonzero(diffuse)[-1]]  # before it a shock is taken for a part of the start
    late = effect[:, known + 1 :]
    np.testing.assert_allclose(scores[known + 1 :, :order], np.einsum("rnj,r->nj", late, posterior.scores), rtol=1e-6, atol=1e-7)
    information = np.einsum("rnj,rs,snj->nj", late, posterior.precision, late)
    np.testing.assert_allclose(scores[known + 1 :, order:], information, rtol=1e-6, atol=1e-8)


def make_stream(order, rows):
    """A stream of room for the rows, and its buffers."""
    n, width = len(rows[0]), order + order * (order + 1) // 2
    x, states = np.zeros(n + 1), np.zeros((n + 1, width))
    stream = _kernels.Stream(x, *rows, np.zeros(n, np.int64), states, SIGMA2.copy(), order, Q, 1.0)
    return stream, x, states


@pytest.mark.parametrize("order", ORDERS)
def test_a_stream_goes_on_from_any_filtered_state(order):
    delta, deriv, *others = make_rows(order)
    delta, deriv = np.maximum(delta, 0.1), np.where(deriv == _kernels.MISSING, 0, deriv).astype(np.uint8)
    rows = (delta, deriv, *others)
    filtered = _kernels.filter(_kernels.WienerRows(*rows), order, Q, SIGMA2)
    start = order + 1  # identified by then
    stream, _, states = make_stream(order, rows)
    states[start] = filtered[start - 1]
    stream.run(start, 10)
    stream.run(10, len(delta))
    np.testing.assert_allclose(states[start + 1 :], filtered[start:], rtol=1e-13, atol=1e-300)


def test_readings_are_pushed_one_by_one():
    rows = make_rows(2)
    rows[1][9] = 0
    filtered = _kernels.filter(_kernels.WienerRows(np.maximum(rows[0], 0.1), *rows[1:]), 2, Q, SIGMA2)
    stream, x, states = make_stream(2, tuple(np.zeros_like(column) for column in rows))
    states[4], x[4] = filtered[3], 5.0
    for i in range(4, 16):
        delta, deriv, group, y, ratio = (column[i] for column in rows)
        assert stream.push(i, x[i] + max(delta, 0.1), y, int(deriv), int(group), ratio, i)
    np.testing.assert_allclose(states[5:], filtered[4:], rtol=1e-12)
    before = states.copy()
    for i, at, y, ratio in (
        (16, 99.0, 0.0, 1.0),
        (15, 0.0, 0.0, 1.0),
        (15, np.nan, 0.0, 1.0),
        (15, np.inf, 0.0, 1.0),
        (15, 99.0, np.nan, 1.0),
        (15, 99.0, np.inf, 1.0),
        (15, 99.0, 0.0, 0.0),
        (15, 99.0, 0.0, np.nan),
    ):
        assert not stream.push(i, at, y, 0, 0, ratio, 0)
    with pytest.raises(ValueError, match="i is out of range"):
        stream.push(-1, 99.0, 0.0, 0, 0, 1.0, 0)
    np.testing.assert_array_equal(states, before)


@pytest.mark.parametrize(("deriv", "group"), [(2, 0), (_kernels.MISSING, 0), (0, 2)])
def test_a_stream_refuses_what_is_out_of_range(deriv, group):
    rows = make_rows(2)
    rows[1][:], rows[2][:] = 0, 0
    rows[1][12], rows[2][12] = deriv, group
    stream, *_ = make_stream(2, rows)
    with pytest.raises(ValueError, match="deriv or group"):
        stream.run(4, 16)
    for start, stop in ((-1, 2), (3, 2), (4, 17)):
        with pytest.raises(ValueError, match="start or stop"):
            stream.run(start, stop)


def buffers(**changes):
    rows = dict(zip(("delta", "deriv", "group", "y", "ratio"), make_rows(2, 12), strict=True))
    given = {"x": np.zeros(13), **rows, "arrival": np.zeros(12, np.int64), "states": np.zeros((13, 5)), "sigma2": np.ones(2)}
    return {**given, "order": 2, "q": 1.0, "unit": 1.0, **changes}.values()


@pytest.mark.parametrize(
    "call",
    [
        lambda: _kernels.links(np.ones(2), 2, 1.0, np.ones((3, 4)), np.ones(3, np.uint8)),
        lambda: _kernels.links(np.ones(3), 2, 1.0, np.ones((3, 5)), np.ones(3, np.uint8)),
        lambda: _kernels.links(np.ones(2), 2, 1.0, np.ones((3, 5)), np.ones(2, np.uint8)),
        lambda: _kernels.links(np.ones(2), 6, 1.0, np.ones((3, 27)), np.ones(3, np.uint8)),
        lambda: _kernels.draw(2, np.ones((3, 6)), np.ones((1, 3, 2)), np.zeros(1, np.int64)),
        lambda: _kernels.draw(2, np.ones((3, 7)), np.ones((1, 2, 2)), np.zeros(1, np.int64)),
        lambda: _kernels.draw(2, np.ones((3, 7)), np.ones((1, 3, 1)), np.zeros(1, np.int64)),
        lambda: _kernels.draw(2, np.ones((3, 7)), np.ones((1, 3, 2)), np.array([2])),
        lambda: _kernels.draw(2, np.ones((3, 7)), np.ones((1, 3, 2)), np.array([-1])),
        lambda: _kernels.draw(0, np.ones((3, 0)), np.ones((1, 3, 0)), np.array([0])),
        lambda: _kernels.shocks(_kernels.WienerRows(*make_rows(2)), 2, Q, SIGMA2[:1]),
        lambda: _kernels.shocks(_kernels.WienerRows(*make_rows(3)), 2, Q, SIGMA2),
        lambda: _kernels.shocks(_kernels.WienerRows(*make_rows(2)[:4], np.ones(15)), 2, Q, SIGMA2),
        lambda: _kernels.Stream(*buffers(order=0)),
        lambda: _kernels.Stream(*buffers(order=3)),
        lambda: _kernels.Stream(*buffers(x=np.zeros(12))),
        lambda: _kernels.Stream(*buffers(y=np.zeros(11))),
        lambda: _kernels.Stream(*buffers(arrival=np.zeros(11, np.int64))),
        lambda: _kernels.Stream(*buffers(states=np.zeros((12, 5)))),
    ],
)
def test_sizes_are_checked(call):
    with pytest.raises(ValueError, match=r"order|packed states|links|normal|deriv|filtered and keep|group|differ|one longer"):
        call()

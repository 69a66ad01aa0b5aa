from itertools import pairwise

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.basis import adaptive_knots
from smoothfit.errors import DataError, KnotError


def run(x, y, rounds=40, **options):
    """Insert knots until the residuals are small."""
    places = adaptive_knots(x, **options)
    inner = next(places)
    history = [inner]
    for _ in range(rounds):
        B = sf.BSplineBasis.from_data(x, knots=inner).design(x, sparse=False)
        residuals = y - B @ np.linalg.lstsq(B, y, rcond=None)[0]
        if np.abs(residuals).max() < 1e-3:
            return inner, history
        try:
            inner = places.send(residuals)
        except StopIteration:
            return inner, history
        history.append(inner)
    raise AssertionError("not reached")


def test_knots_gather_where_the_curve_bends():
    x = np.linspace(0, 1, 401)
    inner, history = run(x, np.tanh(60 * (x - 0.7)))
    assert np.median(np.abs(inner - 0.7)) < 0.06
    for before, after in pairwise(history):
        assert len(after) > len(before)
        assert np.isin(before, after).all()
        assert (np.diff(after) > 0).all()
    even = sf.BSplineBasis.from_data(x, df=len(inner) + 4).design(x, sparse=False)
    y = np.tanh(60 * (x - 0.7))
    assert np.abs(y - even @ np.linalg.lstsq(even, y, rcond=None)[0]).max() > 3e-3


def test_the_order_of_x_does_not_matter():
    x = np.linspace(0, 1, 101)
    order = np.random.default_rng(0).permutation(101)
    y = np.abs(x - 0.3)
    np.testing.assert_array_equal(run(x, y, most=9)[0], run(x[order], y[order], most=9)[0])


def test_it_ends_at_the_limit_and_where_no_abscissa_is_left():
    x = np.linspace(0, 1, 30)
    places = adaptive_knots(x, most=3)
    lengths = [len(next(places)), *(len(places.send(np.ones(30))) for _ in range(3))]
    assert lengths == [0, 1, 2, 3]
    with pytest.raises(StopIteration):
        places.send(np.ones(30))
    few = adaptive_knots([0.0, 0.5, 1.0])
    next(few)
    np.testing.assert_array_equal(few.send([1.0, 1.0, 1.0]), [0.5])
    with pytest.raises(StopIteration):
        few.send([1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: next(adaptive_knots([0, np.nan])), DataError, r"x\[1\] is nan"),
        (lambda: next(adaptive_knots([1, 1])), KnotError, "all 2 of x are 1.0"),
        (lambda: next(adaptive_knots([0, 1], start=[0.6, 0.5])), KnotError, r"knots\[1\] = 0.5 is below"),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("residuals", "words"), [([1.0], "residuals has 1 entries; x has 3"), ([1, np.inf, 0], r"residuals\[1\] is inf")]
)
def test_bad_residuals_are_named(residuals, words):
    places = adaptive_knots([0.0, 0.5, 1.0])
    next(places)
    with pytest.raises(DataError, match=words):
        places.send(residuals)

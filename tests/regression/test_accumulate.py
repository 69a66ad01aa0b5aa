"""Chunks add up to the fit of all observations at once."""

import functools
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

RNG = np.random.default_rng(4)
N = 3000
X = RNG.uniform(0, 1, N)
FRAME = pd.DataFrame(
    {
        "x": X,
        "f": np.sin(6 * X) + 0.1 * RNG.standard_normal(N),
        "slope": 6 * np.cos(6 * X) + 0.5 * RNG.standard_normal(N),
        "known": np.sin(6 * X) + 0.3 * RNG.standard_normal(N),
    }
)
BASIS = sf.BSplineBasis.uniform(0, 1, 25)
PENALTY = sf.DerivativePenalty(2)
OPTIONS = {"x": "x", "readings": {"f": 0, "slope": 1, "known": 0}, "sd": {"known": 0.3}}
GRID = np.linspace(0, 1, 101)


def chunks(n):
    return [FRAME.iloc[part] for part in np.array_split(np.arange(N), n)]


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-10)
    np.testing.assert_allclose(ours.sigma, theirs.sigma, rtol=1e-9)
    np.testing.assert_allclose(ours.get_prediction(GRID, 1).se_mean, theirs.get_prediction(GRID, 1).se_mean, rtol=1e-10)
    for name in ("lam", "edf", "llf", "aic", "bic", "nobs", "df_resid", "scale"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-8)


@pytest.fixture(scope="module")
def at_once():
    """``fit`` of all observations at once; every fit is made once."""
    return functools.cache(sf.SplineRegression(sf.Observations.from_frame(FRAME, **OPTIONS), BASIS, PENALTY).fit)


@pytest.mark.parametrize("n", [1, 7, 60])
def test_chunks_are_the_whole(at_once, n):
    model = sf.SplineRegression.accumulate(BASIS).add_frames(chunks(n), **OPTIONS).model(PENALTY)
    for method in ("reml", "gcv"):
        assert_same(model.fit(method), at_once(method))
    assert_same(model.fit(lam=1e-5, rescale=True), at_once(lam=1e-5, rescale=True))
    assert "3000" in model.fit().summary().as_text()


def test_arrow_batches_are_chunks(at_once):
    batches = pa.Table.from_pandas(FRAME).to_batches(max_chunksize=700)
    assert_same(sf.SplineRegression.accumulate(BASIS).add_frames(batches, **OPTIONS).model(PENALTY).fit(), at_once())


def test_accumulators_add_up_in_any_order(at_once):
    parts = [sf.SplineRegression.accumulate(BASIS).add_frames([chunk], **OPTIONS) for chunk in chunks(4)]
    left = ((parts[0] + parts[1]) + parts[2]) + parts[3]
    right = parts[3] + (parts[1] + (parts[0] + parts[2]))
    for total in (left, right, pickle.loads(pickle.dumps(left))):
        assert_same(total.model(PENALTY).fit(), at_once())


def test_weights_integrals_and_constraints_accumulate():
    x = np.linspace(0, 0.8, 200)
    parts = [
        sf.observe(x[i::4], np.sin(6 * x[i::4]), weights=1 + x[i::4], name="f")
        + sf.observe_integral(x[i::4], x[i::4] + 0.2, 0.2 + 0.01 * np.sin(90 * x[i::4]), name="integral")
        for i in range(4)
    ]
    accumulator = sf.SplineRegression.accumulate(BASIS)
    for part in parts:
        accumulator.add(part)
    limits = sf.Bounds(upper=0.9)
    one, all_ = accumulator.model(PENALTY, limits), sf.SplineRegression(sum(parts), BASIS, PENALTY, limits)
    ours, theirs = one.fit(lam=1e-5), all_.fit(lam=1e-5)
    assert ours.llf == pytest.approx(theirs.llf, rel=1e-9)
    np.testing.assert_allclose(ours.predict(GRID), theirs.predict(GRID), atol=1e-8)


def test_what_needs_readings_is_refused():
    accumulator = sf.SplineRegression.accumulate(BASIS)
    with pytest.raises(DataError, match="no observations"):
        accumulator.model()
    res = accumulator.add_frames(chunks(2), **OPTIONS).model(PENALTY).fit()
    for use in (lambda: res.resid, lambda: res.influence(), lambda: res._leverage):
        with pytest.raises(SpecificationError, match="keeps no observations"):
            use()
    with pytest.raises(DataError, match="different names"):
        accumulator.add(sf.observe([0.1], [0.2], deriv=1, name="f"))
    with pytest.raises(DataError, match="times"):
        accumulator.add(sf.observe(pd.date_range("2024", periods=3), [1.0, 2, 3]))
    with pytest.raises(SpecificationError, match="different bases"):
        accumulator + sf.SplineRegression.accumulate(BASIS.refine())
    assert "f: 3000" in repr(accumulator)

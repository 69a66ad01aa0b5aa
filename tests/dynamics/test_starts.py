"""Several starts, of which the best is kept; and what the spacing of samples says about fast poles."""

import warnings
from functools import partial

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.dynamics.sample import merged
from smoothfit.errors import SamplingWarning

from .conftest import held, solution

TREE = np.array([118.0, 484, 664, 1004, 1231, 1372, 1582]), np.array([30.0, 58, 87, 115, 120, 142, 145])  # R's Orange, tree 1


@pytest.mark.parametrize(
    ("unit", "time"), [(1, 1), (1.5, 1), (10, 1), (1e4, 1), (1, 1000), (1e-3, 1 / 365.25), (1e-6, 1e6), (1e6, 1e-6), (1e6, 1e6)]
)
@pytest.mark.parametrize("intercept", [False, True])
def test_growth_does_not_depend_on_units(unit, time, intercept):
    def growth(unit, time):
        model = sf.DerivativeRegression(TREE[1] * unit, TREE[0] * time, terms={"y**2": lambda y, t: y[0] ** 2}, intercept=intercept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sf.errors.SmoothfitWarning)
            return model.fit("output_error")

    plain, res = growth(1, 1), growth(unit, time)
    back = [1 / time, 1 / time / unit, *([unit / time] * intercept), unit]
    np.testing.assert_allclose(res.params / back, plain.params, rtol=1e-7)
    np.testing.assert_allclose(res.bse / back, plain.bse, rtol=1e-6)
    assert res.llf == pytest.approx(plain.llf - 7 * np.log(unit), abs=1e-8)
    if not intercept:  # R: nls(circumference ~ SSlogis(age, Asym, xmid, scal))
        assert -res.params["y"] / res.params["y**2"] / unit == pytest.approx(154.163, abs=0.01)
        assert res.bse["y"] * time == pytest.approx(515e-6, rel=0.01)


@pytest.mark.parametrize("method", ["integral", "iv"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
def test_the_best_of_all_starts_is_kept(method):
    """Two fixed points of this sample, of which the first start leads to the worse."""
    from smoothfit.dynamics.centring import centred
    from smoothfit.dynamics.methods import integral, iv
    from smoothfit.dynamics.regressing import noise_by_node, relation_of, search_starts, settle

    rng = np.random.default_rng(21)
    t = np.arange(100) * 0.1
    u = held(rng, 100, 10)
    q, sd = 10 ** rng.uniform(-3, 1), 10 ** rng.uniform(-2, 0.3)
    y = solution([-4.0, -0.8, 3.0, 0.7], t, u, 2, q=q, rng=rng)[:, 0] + sd * rng.standard_normal(100)
    model = sf.DerivativeRegression(y, t, u, order=2)
    relation, rows = relation_of(centred(model.problem))
    misfits = []
    for start in search_starts(centred(model.problem), relation):
        try:
            if method == "iv":
                theta = iv._iterate(relation, rows, start, iv.MAX_ITERATIONS).theta
            else:
                theta = settle(relation, partial(integral._weigh, relation, rows), [start], "")[0].theta
        except sf.errors.SmoothfitError:
            continue
        misfits.append(np.nansum(noise_by_node(relation, centred(model.problem).sample, theta) ** 2))
    best = model.fit(method)
    noise = noise_by_node(relation, model.sample, best.coefficients)
    assert np.nansum(noise**2) <= min(misfits) * (1 + 1e-6)
    if method == "iv":
        assert misfits[0] > 2 * min(misfits)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
@pytest.mark.parametrize("seed", range(4))
def test_armax_is_as_good_as_from_any_start(seed):
    from smoothfit.dynamics.methods import armax
    from smoothfit.dynamics.regressing import relation_of

    rng = np.random.default_rng(seed)
    t = np.arange(100) * 0.1
    u = held(rng, 100, 10)
    truth = np.array([-1.0, 2.0, 0.5])
    y = solution(truth, t, u, q=10 ** rng.uniform(-3, 1), rng=rng)[:, 0] + 10 ** rng.uniform(-2, 0.3) * rng.standard_normal(100)
    model = sf.DerivativeRegression(y, t, u)
    res = model.fit("armax")
    relation, rows = relation_of(model.problem)
    for start in (res.coefficients, *(truth * np.exp(rng.normal(size=(2, 3))))):
        for share in (0.0, 0.5, 1.0):
            try:
                value = armax._descend(relation, rows, np.append(start, share), True).value
            except sf.errors.SmoothfitError:
                continue
            assert -len(rows.target) / 2 * (np.log(2 * np.pi * value / len(rows.target)) + 1) <= res.llf + 1e-5


def test_short_gaps_among_long_ones_identify_a_fast_pole():
    # Every other sample has a neighbour near it: the median gap is ten time constants, the short ones are a fifth of one.
    rng = np.random.default_rng(0)
    t = np.sort(np.concatenate([np.arange(400) * 10.0, np.arange(200) * 20.0 + 0.2]))
    y = np.zeros(600)
    for k in range(599):
        phi = np.exp(-(t[k + 1] - t[k]))
        y[k + 1] = phi * y[k] + np.sqrt(1 - phi**2) * rng.standard_normal()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplingWarning)
        pairs = sf.DerivativeRegression(sf.observe(t, y, sd=1e-3, name="y"), intercept=False).fit()
    assert abs(pairs.params["y"] + 1) < 4 * pairs.bse["y"]
    sample = pairs.model.sample
    phi = np.exp(-np.diff(t))
    assert sample.decay(-1.0) == pytest.approx(-np.log(np.mean(phi**2)) / 2, rel=1e-12)
    assert sample.gap > 9
    assert sample.decay(-1.0) < 1


def test_regular_samples_far_apart_still_say_so():
    rng = np.random.default_rng(1)
    t, y = np.arange(2000) * 1.0, np.zeros(2000)
    for k in range(1999):
        y[k + 1] = 0.1 * y[k] + rng.standard_normal()
    with pytest.warns(SamplingWarning, match=r"decays within one sample \(1\): successive samples are nearly uncorrelated"):
        res = sf.DerivativeRegression(y, t, intercept=False).fit("arx")
    assert res.model.sample.decay(-2.5) == pytest.approx(2.5, rel=1e-12)


def test_times_are_merged_with_their_replicates():
    nodes, place = merged(np.array([0.0, 1, 1, 2]), np.array([1.0, 0.5, 3, 3]))
    np.testing.assert_array_equal(nodes, [0, 0.5, 1, 1, 2, 3])
    np.testing.assert_array_equal(place, [0, 2, 3, 4])

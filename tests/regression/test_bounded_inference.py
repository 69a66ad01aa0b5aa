"""What follows from bounds that are reached: degrees of freedom, likelihoods, sds, intervals, draws; and the level of y."""

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.errors import BiasWarning, SpecificationError
from smoothfit.regression import conic

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(5)
X = np.sort(RNG.uniform(0, 1, 120))
NOISE = 0.2 * RNG.standard_normal(120)
GRID = np.linspace(0, 1, 101)
CURVATURE = sf.DerivativePenalty(2)
BENT = np.cos(9 * X) + NOISE


def fit(y, constraint, penalty=CURVATURE, pieces=9, method=None, **options):
    model = sf.SplineRegression(sf.observe(X, y), sf.BSplineBasis.uniform(0, 1, pieces), penalty, constraint)
    return model.fit(method or ("reml" if penalty else "ols"), **options)


@wrong
@pytest.mark.parametrize("penalty", [CURVATURE, None])
@pytest.mark.parametrize("pieces", [1, 5, 10])
@pytest.mark.parametrize(
    ("constraint", "y", "functions"),
    [
        (sf.Increasing(), -X + NOISE, [np.ones_like]),
        (sf.Convex(), -X * X + NOISE, [np.ones_like, np.asarray]),
        (sf.Positive(), -1 - X + NOISE, []),
        (sf.Bounds(deriv=2, upper=0.0), X * X + NOISE, [np.ones_like, np.asarray]),
        (sf.Bounds(deriv=1, lower=0.0, upper=0.0), np.sin(6 * X) + NOISE, [np.ones_like]),
    ],
)
def test_a_curve_held_everywhere_is_the_polynomial_that_is_left(constraint, y, functions, pieces, penalty):
    res = fit(y, constraint, penalty, pieces)
    columns = np.array([f(X) for f in functions]).reshape(len(functions), len(X)).T
    rest = y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0] if functions else y
    d, n, rss = len(functions), len(X), float(rest @ rest)
    assert res.edf == pytest.approx(d, abs=1e-9)
    np.testing.assert_allclose(res.resid, rest, atol=1e-8)
    variance = rss / (n - d)
    assert res.scale == pytest.approx(variance, rel=1e-8)
    if penalty is None:
        expected = -n / 2 * (np.log(2 * np.pi * rss / n) + 1)
    else:  # restricted, in Harville's form
        design = np.linalg.slogdet(columns.T @ columns)[1] if d else 0.0
        of_coefficients = np.linalg.slogdet(columns.T @ columns / variance)[1] if d else 0.0
        expected = -((n - d) * np.log(2 * np.pi) + n * np.log(variance) + of_coefficients - design + rss / variance) / 2
    assert res.llf == pytest.approx(expected, rel=1e-8)
    if penalty is None:
        assert res.aic == pytest.approx(-2 * expected + 2 * (d + 1), rel=1e-8)  # the SD counts


def test_an_active_bound_counts_as_the_equality_it_is():
    bounded = fit(BENT, sf.Bounds(lower=-0.2, on=(0.3, 0.31)), lam=1e-4)
    places = bounded.active_constraints["lower"].to_numpy()
    assert len(places) == 1
    equal = fit(BENT, sf.Equals(places, -0.2), lam=1e-4)
    for what in ("edf", "llf", "scale", "df_resid"):
        assert getattr(bounded, what) == pytest.approx(getattr(equal, what), rel=1e-6)
    np.testing.assert_allclose(bounded.predict(GRID), equal.predict(GRID), atol=1e-7)


@wrong
def test_sds_of_two_names_are_those_of_the_constrained_curve():
    slopes = -9 * np.sin(9 * X) + RNG.standard_normal(120)
    obs = sf.observe(X, BENT, name="level") + sf.observe(X, slopes, deriv=1, name="slope")
    model = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 9), CURVATURE, sf.Bounds(deriv=1, lower=-3.0))
    res = model.fit()
    for part, leverage, sd in zip(res._fit.rows.per_name(res.resid), res._fit.rows.per_name(res._leverage), res.sigma, strict=True):
        # the score of the variances at the given lam, but for the fraction of the penalty
        assert sd**2 == pytest.approx(part @ part / (len(part) - leverage.sum()), rel=0.05)
    free = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 9), CURVATURE).fit()
    assert res.lam == pytest.approx(free.lam)
    assert res.llf < free.llf - 10


def test_bounds_that_contradict_a_given_sd_say_so():
    model = sf.SplineRegression(sf.observe(X, BENT, sd=0.2), sf.BSplineBasis.uniform(0, 1, 9), CURVATURE, sf.Bounds(upper=-2.0))
    with pytest.warns(BiasWarning, match="contradict the given SD"):
        res = model.fit(lam=1e-4)
    assert res.llf < -1000
    rising = sf.SplineRegression(sf.observe(X, X + NOISE, sd=0.2), sf.BSplineBasis.uniform(0, 1, 9), CURVATURE, sf.Increasing())
    rising.fit(lam=1e-4)  # no warning


@wrong
def test_an_accumulated_fit_under_a_shape_has_everything_but_residuals():
    basis = sf.BSplineBasis.uniform(0, 1, 9)
    accumulator = sf.SplineRegression.accumulate(basis)
    for part in np.array_split(np.arange(120), 3):
        accumulator.add(sf.observe(X[part], BENT[part]))
    res, whole = accumulator.model(CURVATURE, sf.Increasing()).fit(), fit(BENT, sf.Increasing())
    for what in ("edf", "llf", "aic", "bic", "scale"):
        assert getattr(res, what) == pytest.approx(getattr(whole, what), rel=1e-6)
    assert "Effective df" in str(res.summary())


# The level of y --------------------------------------------------------------------------------------------------------

SHAPES = {
    "increasing": lambda level: sf.Increasing(),
    "convex": lambda level: sf.Convex(),
    "unimodal": lambda level: sf.Unimodal(),
    "given mode": lambda level: sf.Unimodal(0.7),
    "slope": lambda level: sf.Bounds(deriv=1, lower=-1.0, upper=2.0),
    "band": lambda level: sf.Bounds(lower=level - 0.3, upper=level + 0.4),
}
LOSSES = {
    "reml": {},
    "huber": {"lam": 1e-4, "loss": "huber"},
    "quantile": {"lam": 1e-3, "loss": "quantile", "parameter": 0.61},
}


@wrong
@pytest.mark.filterwarnings("ignore:rounding moves the fit:smoothfit.errors.PrecisionWarning")  # at 1e8, by 1e-7 SDs
@pytest.mark.parametrize(
    ("shape", "loss"),  # a quantile fit searches no mode, and that of a Huber fit is the best of those with a given mode
    [(shape, loss) for shape in SHAPES for loss in LOSSES if shape != "unimodal" or loss == "reml"],
)
def test_a_constant_added_to_y_moves_the_curve_and_nothing_else(shape, loss):
    here = fit(BENT, SHAPES[shape](0.0), **LOSSES[loss])
    assert len(here.active_constraints)
    for level in (1e5, 1e8):
        there = fit(BENT + level, SHAPES[shape](level), **LOSSES[loss])
        rounding = 1e-15 * abs(level)  # of y, some tens of times over in slopes
        np.testing.assert_allclose(there.predict(GRID) - level, here.predict(GRID), atol=1e-7 + 1000 * rounding)
        np.testing.assert_allclose(there.predict(GRID, 1), here.predict(GRID, 1), atol=1e-6 + 1e5 * rounding)
        assert there.edf == pytest.approx(here.edf, abs=1e-4)
        assert there.sigma.iloc[0] == pytest.approx(here.sigma.iloc[0], rel=1e-5)
        errors = [res.get_prediction(GRID[::20], 1).se_mean for res in (here, there)]
        np.testing.assert_allclose(errors[1], errors[0], rtol=1e-3)


@wrong
@pytest.mark.parametrize("shape", ["increasing", "convex", "slope"])
@pytest.mark.parametrize("unit", [1e-60, 1e-6, 1e6, 1e150])
def test_the_unit_of_y_scales_the_curve(shape, unit):
    constraint = sf.Bounds(deriv=1, lower=-unit, upper=2 * unit) if shape == "slope" else SHAPES[shape](0.0)
    here, there = fit(BENT, SHAPES[shape](0.0)), fit(unit * BENT, constraint)
    np.testing.assert_allclose(there.predict(GRID) / unit, here.predict(GRID), atol=1e-6)
    assert there.edf == pytest.approx(here.edf, rel=1e-5)


# Intervals and draws ---------------------------------------------------------------------------------------------------


@wrong
@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize(
    ("constraint", "deriv", "lower", "upper"),
    [
        (sf.Increasing(), 1, 0.0, np.inf),
        (sf.Convex(), 2, 0.0, np.inf),
        (sf.Positive(), 0, 0.0, np.inf),
        (sf.Bounds(lower=-0.5, upper=0.5), 0, -0.5, 0.5),
    ],
)
def test_intervals_end_at_the_bound_and_have_a_width(constraint, deriv, lower, upper, simultaneous):
    res = fit(BENT, constraint)
    inner = GRID[1:-1]
    low, high = res.get_prediction(inner, deriv, simultaneous=simultaneous).conf_int().T
    assert low.min() >= lower
    assert high.max() <= upper
    assert (high - low).min() > 1e-3
    mean = res.predict(inner, deriv)
    assert ((low - 1e-8 <= mean) & (mean <= high + 1e-8)).all()
    draws = res.sample(inner, deriv, size=20, rng=0)
    size = np.abs(draws).max()
    assert draws.min() >= lower - 1e-9 * size
    assert draws.max() <= upper + 1e-9 * size
    assert draws.std(axis=0).max() > 1e-3


def test_slopes_of_a_monotone_curve_are_covered():
    covered, at = [], np.linspace(0.7, 0.98, 15)
    x = np.linspace(0, 1, 50)
    for seed in range(25):
        y = 1 - np.exp(-5 * x) + 0.1 * np.random.default_rng([17, seed]).standard_normal(50)
        model = sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, 20), CURVATURE, sf.Increasing())
        res = model.fit()
        for deriv, truth in ((0, 1 - np.exp(-5 * at)), (1, 5 * np.exp(-5 * at))):
            low, high = res.get_prediction(at, deriv).conf_int().T
            covered.append((deriv, np.mean((low <= truth) & (truth <= high))))
    for deriv in (0, 1):
        assert np.mean([share for order, share in covered if order == deriv]) >= 0.93


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_bands_of_outer_quantiles_cover_with_few_observations(level):
    covered, at = [], np.linspace(0.05, 0.95, 30)
    truth = np.sin(6 * at) + stats.norm.ppf(level) * (0.2 + 0.3 * at)
    for seed in range(10):
        rng = np.random.default_rng([21, seed])
        x = np.sort(rng.uniform(0, 1, 50))
        y = np.sin(6 * x) + (0.2 + 0.3 * x) * rng.standard_normal(50)
        model = sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, 20), CURVATURE)
        low, high = model.fit("gcv", loss="quantile", parameter=level).get_prediction(at).conf_int().T
        covered.append(np.mean((low <= truth) & (truth <= high)))
    assert np.mean(covered) >= 0.88  # 0.94 over 40 samples


# Errors ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [([], 0), (0.0, []), ([], [])])
def test_an_empty_equality_is_refused(arguments):
    with pytest.raises(SpecificationError, match="of Equals is empty"):
        sf.Equals(*arguments)


def test_what_the_solver_calls_almost_solved_is_no_solution(monkeypatch):
    attempt = conic._attempt

    def almost(program):
        return "AlmostSolved", *attempt(program)[1:]

    monkeypatch.setattr(conic, "_attempt", almost)
    with pytest.raises(sf.errors.ConvergenceError, match="AlmostSolved"):
        fit(BENT, sf.Increasing(), lam=1e-4)


@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_crossings_beyond_the_observations_are_found(slope):
    inside = (X > 0.2) & (X < 0.8)
    y = slope * (X[inside] - (0.95 if slope < 0 else 0.05)) + 0.05 * NOISE[inside]
    res = sf.SplineRegression(sf.observe(X[inside], y), sf.BSplineBasis.uniform(0, 1, 8), CURVATURE).fit()
    table = res.roots()
    assert len(table) == 1
    assert table["x"][0] == pytest.approx(0.95 if slope < 0 else 0.05, abs=0.03)
    assert table["ci_lower"][0] < table["x"][0] < table["ci_upper"][0]
    assert len(res.extrema()) <= 1
    periodic = sf.SplineRegression(
        sf.observe(X[inside], np.sin(9 * X[inside])), sf.PeriodicBSplineBasis.uniform(0, 1, 12), CURVATURE
    ).fit(lam=1e-4)
    assert len(periodic.extrema()) >= 2


# Intervals where a constraint makes the curve monotone -----------------------------------------------------------------------

APART = X[(X < 0.3) | (X > 0.7)]  # in the gap between, intervals that ignore the constraint are wide


def pair(constraint, y, penalty=CURVATURE):
    """Fits with a constraint that is not active and without it, which differ in their intervals alone."""
    obs, basis = sf.observe(APART, y, sd=0.1), sf.BSplineBasis.uniform(0, 1, 9)
    held, free = (sf.SplineRegression(obs, basis, penalty, given).fit(lam=1e-4) for given in (constraint, ()))
    np.testing.assert_allclose(held.predict(GRID), free.predict(GRID), rtol=1e-9)
    return held, free


RISING = np.sin(APART)


@pytest.mark.parametrize("obs", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_interval_of_a_monotone_curve_ends_where_others_imply_it(sign, obs):
    held, free = pair(sf.Increasing() if sign == 1 else sf.Decreasing(), sign * RISING)
    at = np.array([0.001, 0.41, 0.52, 0.999])
    grid = np.linspace(0, 1, 4 * 9 + 1)  # four points to a piece
    lower, upper = (sign * free.get_prediction(grid).conf_int(obs))[:, ::sign].T
    own = (sign * free.get_prediction(at).conf_int(obs))[:, ::sign]
    expected = [[max(low, *lower[grid <= x]), min(high, *upper[grid >= x])] for x, (low, high) in zip(at, own, strict=True)]
    found = (sign * held.get_prediction(at).conf_int(obs))[:, ::sign]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (np.diff(found) < np.diff(own) - 0.01).any()
    one = held.get_prediction(at[1:2]).conf_int(obs)  # whatever others are asked for
    np.testing.assert_array_equal(one[0], held.get_prediction(at).conf_int(obs)[1])


def test_monotone_on_a_part():
    held, free = pair(sf.Increasing(on=(0.0, 0.5)), RISING)
    for x, is_changed in {0.48: True, 0.52: False, 0.999: False}.items():
        ours, theirs = (res.get_prediction([x]).conf_int() for res in (held, free))
        assert (np.abs(ours - theirs).max() > 0.01) == is_changed


def test_slopes_of_a_convex_curve_and_its_band():
    held, free = pair(sf.Convex(), APART**2, sf.DerivativePenalty(3))
    at = np.array([0.0, 0.25, 0.75, 1.0, 0.5])
    for simultaneous in (False, True):
        ours, theirs = (
            res.get_prediction(at, deriv=1, simultaneous=simultaneous).conf_int()[np.argsort(at)] for res in (held, free)
        )
        assert (np.diff(ours, axis=0) >= 0).all()
        assert (ours[:, 0] >= theirs[:, 0] - 1e-12).all()
        assert (ours[:, 1] <= theirs[:, 1] + 1e-12).all()
        assert not np.allclose(ours, theirs, rtol=1e-3)
    np.testing.assert_array_equal(*(res.get_prediction(at).conf_int() for res in (held, free)))

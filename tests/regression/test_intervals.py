"""Intervals, bands and draws integrate over smoothing and SDs: against quadrature on 400 dense nodes, by formulas of their own."""

import pickle
from functools import cache

import numpy as np
import pytest
from scipy import linalg, optimize, special, stats

import smoothfit as sf
from smoothfit.errors import SpecificationError

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

ORDER, K, N_DENSE = 2, 12, 400
BASIS = sf.BSplineBasis.uniform(0, 6, K - 3)
PENALTY = sf.DerivativePenalty(ORDER)
AT = np.array([0.1, 1.7, 3.0, 5.9])
ALPHA = 0.1


def wave(n=25, noise=0.3, scale=1.0, **options):
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 6, n))
    return sf.observe(scale * x, np.sin(x) + noise * rng.standard_normal(n), name="level", **options)


def nearly_straight(n=20, **options):
    """The restricted likelihood is largest for the line."""
    x = np.linspace(0, 6, n)
    return sf.observe(x, 1 + 0.2 * x + 0.2 * (-1.0) ** np.arange(n), name="level", **options)


def two_names(n=20):
    rng = np.random.default_rng(5)
    t, u = rng.uniform(0, 6, (2, n))
    level = sf.observe(t, np.sin(t) + 0.3 * rng.standard_normal(n), name="level")
    return level + sf.observe(u, np.cos(u) + 0.2 * rng.standard_normal(n), deriv=1, name="slope")


CASES = {
    "SD unknown": wave(),
    "SD known": wave(sd=0.3),
    "line": nearly_straight(),
    "line, sd known": nearly_straight(sd=0.2),
    "two SDs": two_names(),
}


@cache
def fitted(case, **options):
    return sf.SplineRegression(CASES[case], BASIS, PENALTY).fit(**options)


class Dense:
    """Posterior by quadrature: of (lam, ratio of the variances), and of the curve at each node, by normal equations.

    Jeffreys' prior is det^(1/2) of traces tr(P K_i P K_j) / 2 of the dense covariance of the contrasts.
    """

    def __init__(self, obs):
        readings = obs.readings
        self.df = sum(len(r) for r in readings) - ORDER if readings[0].sd is None else np.inf
        B = np.vstack([BASIS.design(r.x, r.deriv, sparse=False) for r in readings])
        y, P = obs.y, PENALTY.matrix(BASIS).toarray()
        sizes = [len(r) for r in readings]
        given = 1.0 if readings[0].sd is None else readings[0].sd[0] ** 2
        groups = [np.repeat(np.eye(len(sizes))[g], sizes) * given for g in range(len(sizes))]
        free = linalg.null_space(P, rcond=1e-9)
        contrasts = linalg.null_space((B @ free).T)
        prior = B @ np.linalg.pinv(P, rcond=1e-9, hermitian=True) @ B.T
        axes = [np.linspace(-14, 16, N_DENSE)] if len(sizes) == 1 else [np.linspace(-8, 8, 40), np.linspace(-6, 4, 40)]
        self.nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        logs, self.coef, self.cov, self.s2 = [], [], [], []
        for node in self.nodes:
            lam, ratios = np.exp(node[0]), np.exp(np.append(0.0, node[1:]))
            V = sum(ratio * group for ratio, group in zip(ratios, groups, strict=True))
            parts = [prior / lam, *(np.diag(ratio * group) for ratio, group in zip(ratios[1:], groups[1:], strict=True))]
            W = contrasts.T @ (np.diag(V) + prior / lam) @ contrasts
            scaled = [np.linalg.solve(W, contrasts.T @ part @ contrasts) for part in parts]
            if np.isfinite(self.df):
                scaled.append(np.eye(len(W)))  # of the common factor
            information = np.array([[np.trace(a @ b) for b in scaled] for a in scaled]) / 2
            z = contrasts.T @ y
            sse = z @ np.linalg.solve(W, z)
            log_det = np.linalg.slogdet(W)[1]
            fit = self.df * np.log(sse) if np.isfinite(self.df) else sse
            logs.append(np.linalg.slogdet(information)[1] / 2 - (log_det + fit) / 2)
            A = (B / V[:, None]).T @ B + lam * P
            self.cov.append(np.linalg.inv(A))
            self.coef.append(self.cov[-1] @ (B / V[:, None]).T @ y)
            self.s2.append(sse / self.df if np.isfinite(self.df) else 1.0)
        self.weights = np.exp(np.array(logs) - max(logs))
        self.weights /= self.weights.sum()
        self.coef, self.cov, self.s2 = np.array(self.coef), np.array(self.cov), np.array(self.s2)

    def interval(self, row, alpha=ALPHA, noise=None):
        """Ends of the interval of row @ c, and of an observation whose noise has variances (L,) for s^2 = 1."""
        mean = self.coef @ row
        variance = np.einsum("i,lij,j->l", row, self.cov, row) + (0 if noise is None else noise)
        sd = np.sqrt(self.s2 * variance)
        law = stats.norm if np.isinf(self.df) else stats.t(self.df)

        def excess(value, p):
            return self.weights @ law.cdf((value - mean) / sd) - p

        kept = self.weights > 1e-12
        low, high = (mean - 60 * sd)[kept].min(), (mean + 60 * sd)[kept].max()
        return np.array([optimize.brentq(excess, low, high, args=(p,), xtol=1e-12) for p in (alpha / 2, 1 - alpha / 2)])


@cache
def dense(case):
    return Dense(CASES[case])


def assert_close(ours, theirs, share=0.01):
    """Intervals (n, 2) agree to a fraction of half their widths."""
    half = np.diff(theirs, axis=1) / 2
    assert (half > 0).all()
    np.testing.assert_allclose((ours - theirs) / half, 0, atol=share)


@pytest.mark.parametrize("deriv", [0, 1, 2])
@pytest.mark.parametrize("case", CASES)
def test_pointwise_intervals_are_those_of_quadrature(case, deriv):
    rows = BASIS.design(AT, deriv, sparse=False)
    theirs = np.array([dense(case).interval(row) for row in rows])
    # a maximum at a bound makes the density of lam skewed, and its lattice of 11 nodes coarser
    assert_close(fitted(case).get_prediction(AT, deriv).conf_int(alpha=ALPHA), theirs, 0.015 if "line" in case else 0.01)


@pytest.mark.parametrize("case", CASES)
def test_intervals_of_coefficients_and_integrals_are_those_of_quadrature(case):
    res = fitted(case)
    assert_close(res.conf_int(ALPHA).to_numpy(), np.array([dense(case).interval(row) for row in np.eye(K)]))
    row = BASIS.integral(np.array([0.5]), np.array([4.0]))[0]
    assert_close(np.array([res.integrate(0.5, 4.0).conf_int(ALPHA)]), dense(case).interval(row)[None])
    assert_close(np.array([res.integrate(4.0, 0.5).conf_int(ALPHA)]), -dense(case).interval(row)[None, ::-1])


@pytest.mark.parametrize("case", CASES)
def test_intervals_of_new_observations_are_those_of_quadrature(case):
    ours = fitted(case).get_prediction(AT)
    noise = CASES[case].readings[0].sd
    level = np.full(len(dense(case).nodes), 1.0 if noise is None else noise[0] ** 2)
    assert_close(
        ours.conf_int(obs=True, alpha=ALPHA), [dense(case).interval(row, noise=level) for row in BASIS.design(AT, sparse=False)]
    )
    if case == "two SDs":
        rows, ratio = BASIS.design(AT, 1, sparse=False), np.exp(dense(case).nodes[:, 1])
        theirs = np.array([dense(case).interval(row, noise=ratio) for row in rows])
        assert_close(fitted(case).get_prediction(AT, 1).conf_int(obs=True, alpha=ALPHA), theirs)


@pytest.mark.parametrize("case", CASES)
def test_the_integrated_mean_is_that_of_quadrature(case):
    twin, rows = dense(case), BASIS.design(AT, 1, sparse=False)
    ours = fitted(case).get_prediction(AT, 1, parameters="integrated")
    means = twin.coef @ rows.T
    variances = twin.s2[:, None] * np.einsum("ni,lij,nj->ln", rows, twin.cov, rows)
    mean = twin.weights @ means
    sd = np.sqrt(twin.weights @ (variances + (means - mean) ** 2))
    np.testing.assert_allclose((ours.predicted_mean - mean) / sd, 0, atol=5e-3)
    np.testing.assert_allclose(ours.se_mean, sd, rtol=1e-2)


@pytest.mark.parametrize("case", ["SD unknown", "line", "two SDs"])
def test_intervals_of_smoothing_and_sds_are_those_of_quadrature(case):
    twin, ours = dense(case), fitted(case).hyperparameter_intervals(ALPHA)
    names = [f"sigma.{r.name}" for r in CASES[case].readings]
    assert list(ours.index) == ["lam", *names]
    kept = twin.weights > 1e-12
    for i, name in enumerate(names):
        centres = np.sqrt(twin.s2 * (np.exp(twin.nodes[:, i]) if i else 1.0))[kept]

        def excess(log_sd, p, centres=centres):
            return twin.weights[kept] @ special.chdtrc(twin.df, twin.df * (centres / np.exp(log_sd)) ** 2) - p

        theirs = [optimize.brentq(excess, -5, 5, args=(p,)) for p in (ALPHA / 2, 1 - ALPHA / 2)]
        np.testing.assert_allclose(ours.loc[name, ["ci_lower", "ci_upper"]], np.exp(theirs), rtol=1e-2)
    log_lam, column = np.unique(twin.nodes[:, 0], return_inverse=True)
    weights = np.bincount(column, twin.weights)
    logs = np.log(ours.loc["lam", ["ci_lower", "ci_upper"]].to_numpy(float))
    at_ends = np.interp(logs, log_lam, np.cumsum(weights) - weights / 2)
    # nodes of two parameters have lam in columns, within which its distribution function jumps
    np.testing.assert_allclose(at_ends, [ALPHA / 2, 1 - ALPHA / 2], atol=0.01 if len(names) == 1 else 0.05)


def test_estimates_are_in_the_frame_of_nodes():
    """In the units of lam and sigma, whether the likelihood is that of ratios of variances or not."""
    slope = two_names()["slope"]
    known = wave(sd=0.3) + sf.observe(slope.x, slope.y, deriv=1, name="slope")
    for obs in (wave(), wave(sd=0.3), two_names(), known):
        res = sf.SplineRegression(obs, BASIS, PENALTY).fit()
        frame, theta = res.hyperparameters, res.parameter_posterior.theta
        assert frame["weight"].sum() == pytest.approx(1)
        near = int(np.argmin(np.linalg.norm(theta - res.theta_hat, axis=1)))
        at = sf.SplineRegression(obs, BASIS, PENALTY).fit(lam=frame["lam"][near])
        if len(res.engine.names) == 1:  # the SD given lam
            np.testing.assert_allclose(frame["sigma.level"][near], at.sigma["level"], rtol=1e-8)
        logs = np.log(frame.loc[near, ["lam", *(f"sigma.{name}" for name in obs.names)]].to_numpy())
        there = np.log([res.lam, *res.sigma])
        np.testing.assert_allclose(logs, there, atol=1.0)  # a step of the nodes


def test_an_infinite_lam_is_integrated():
    for case in ("line", "line, sd known"):
        res = fitted(case)
        assert res.boundary == ("lam",)
        assert np.isfinite(res.hyperparameters["lam"]).all()
        assert np.diff(res.hyperparameter_intervals().loc["lam", ["ci_lower", "ci_upper"]])[0] > 0


def test_nodes_are_drawn():
    for case in ("two SDs", "line"):
        axes = fitted(case).plot_hyperparameters()
        assert [one.get_xlabel() for one in axes] == list(fitted(case).hyperparameter_intervals().index)
        assert all(len(one.patches) == 1 for one in axes)


@pytest.mark.parametrize("case", ["SD unknown", "line, sd known", "two SDs"])
def test_draws_have_the_laws_of_the_intervals(case):
    res, size = fitted(case), 4000
    f, slope = res.sample(AT, [0, 1], size=size, rng=1)
    for deriv, drawn in ((0, f), (1, slope)):
        low, high = res.get_prediction(AT, deriv).conf_int(alpha=ALPHA).T
        for inside in (drawn > low, drawn < high):
            np.testing.assert_allclose(inside.mean(axis=0), 1 - ALPHA / 2, atol=5 * np.sqrt(0.05 * 0.95 / size))
    np.testing.assert_allclose(res.sample(AT, 1, size=3, rng=1), res.sample(AT, 1, size=10, rng=1)[:3], rtol=1e-9)
    fixed = res.sample(AT, 1, size=size, rng=1, parameters="fixed")
    prediction = res.get_prediction(AT, 1)
    np.testing.assert_allclose(fixed.std(axis=0), prediction.se_mean, rtol=0.06)
    np.testing.assert_allclose(fixed.mean(axis=0), prediction.predicted_mean, atol=0.1 * prediction.se_mean.max())


@pytest.mark.parametrize("case", ["SD unknown", "two SDs"])
@pytest.mark.parametrize("deriv", [0, 1])
def test_bands_cover_whole_draws(case, deriv):
    res, grid = fitted(case), np.linspace(0, 6, 400)
    low, high = res.get_prediction(grid, deriv, simultaneous=True).conf_int(alpha=ALPHA).T
    pointwise = res.get_prediction(grid, deriv).conf_int(alpha=ALPHA)
    assert (high - low > np.diff(pointwise, axis=1).ravel()).all()
    drawn = res.sample(grid, deriv, size=4000, rng=2)
    inside = ((drawn >= low) & (drawn <= high)).all(axis=1).mean()
    assert inside == pytest.approx(1 - ALPHA, abs=0.02)  # 4 SDs of two simulations, and 1 % of the critical value


@pytest.mark.parametrize(
    "options",
    [{"edf": 8.0}, {"lam": 0.01}, {"method": "gcv"}, {"method": "aicc"}, {"cov_type": "frequentist"}, {"loss": "huber"}],
    ids=lambda options: next(iter(options)),
)
def test_other_fits_keep_students_t(options):
    res = fitted("SD unknown", **options)
    prediction = res.get_prediction(AT, deriv=1)
    assert prediction.law is prediction.law_obs is None
    half = stats.t.isf(0.05, res.df_interval) * prediction.se_mean
    np.testing.assert_allclose(
        prediction.conf_int(alpha=0.1), prediction.predicted_mean[:, None] + np.outer(half, [-1, 1]), rtol=1e-14
    )
    half = stats.t.isf(0.05, res.df_interval) * res.bse
    np.testing.assert_allclose(res.conf_int(0.1)[1] - res.params, half, rtol=1e-10)
    frame = res.hyperparameters
    assert len(frame) == 1
    np.testing.assert_array_equal(frame.iloc[0], [res.lam, res.sigma["level"], 1.0])
    low, high = prediction.conf_int(alpha=0.1).T
    drawn = res.sample(AT, 1, size=4000, rng=0)
    np.testing.assert_allclose(np.mean((drawn > low) & (drawn < high), axis=0), 0.9, atol=0.025)
    band = res.get_prediction(AT, 1, simultaneous=True)
    assert (np.diff(band.conf_int(alpha=0.1), axis=1) > np.diff(prediction.conf_int(alpha=0.1), axis=1)).all()


def test_without_a_penalty_the_sd_is_inverse_chi_squared():
    res = sf.SplineRegression(wave(), BASIS).fit()
    low, high = res.hyperparameter_intervals(ALPHA).loc["sigma.level", ["ci_lower", "ci_upper"]]
    df = 25 - K
    ends = res.sigma["level"] * np.sqrt(df / stats.chi2.isf([ALPHA / 2, 1 - ALPHA / 2], df))
    np.testing.assert_allclose([low, high], ends, rtol=1e-6)
    for options in ({"method": "gcv"}, {"lam": 0.01}):
        assert np.isnan(fitted("SD unknown", **options).hyperparameter_intervals().loc["sigma.level", "ci_lower"])


def test_two_sds_are_integrated_without_a_penalty():
    res = sf.SplineRegression(CASES["two SDs"], BASIS).fit()
    assert not res.parameter_posterior.is_single
    assert list(res.hyperparameters.columns) == ["sigma.level", "sigma.slope", "weight"]
    known = stats.t.isf(0.025, res.df_interval) * res.get_prediction(AT).se_mean
    half = np.diff(res.get_prediction(AT).conf_int(), axis=1).ravel() / 2
    assert (half > known).all()


def test_smoothing_that_is_known_to_a_percent_keeps_students_t():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 6, 2000)
    walk = np.cumsum(rng.standard_normal(2000))
    obs = sf.observe(x, walk + rng.standard_normal(2000))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 6, 1000), sf.DerivativePenalty(1)).fit()
    assert res.parameter_posterior.is_single
    prediction = res.get_prediction(AT)
    half = stats.t.isf(0.025, res.df_interval) * prediction.se_mean
    np.testing.assert_allclose(np.diff(prediction.conf_int(), axis=1).ravel() / 2, half, rtol=1e-10)
    assert len(res.hyperparameters) == 1


@wrong
def test_bounds_that_are_reached_keep_students_t_and_others_cut():
    bounded = sf.SplineRegression(wave(), BASIS, PENALTY, sf.Increasing()).fit()
    assert bounded._fit.active_rows is not None
    assert bounded.get_prediction(AT).law is None
    free = fitted("SD unknown").get_prediction(AT, 1).conf_int()
    inside = sf.SplineRegression(wave(), BASIS, PENALTY, sf.Bounds(lower=-50)).fit()
    np.testing.assert_allclose(inside.get_prediction(AT, 1).conf_int(), free, rtol=1e-8)
    low, high = inside.get_prediction(AT).conf_int(alpha=ALPHA).T
    drawn = inside.sample(AT, size=200, rng=0)
    assert np.mean((drawn > low) & (drawn < high)) == pytest.approx(0.9, abs=0.06)


def test_correlated_errors_are_integrated_at_their_estimated_correlation():
    x = np.linspace(0, 6, 40)
    rng = np.random.default_rng(2)
    noise = np.zeros(40)
    for i, shock in enumerate(0.2 * rng.standard_normal(40)):
        noise[i] = 0.6 * noise[i - 1] + shock
    obs = sf.observe(x, np.sin(x) + noise, name="level")
    found = sf.SplineRegression(obs, BASIS, PENALTY, errors=sf.AR1()).fit()
    given = sf.SplineRegression(obs, BASIS, PENALTY, errors=sf.AR1(found.errors["level"].value)).fit()
    ours = found.get_prediction(AT)
    assert ours.law is not None
    np.testing.assert_allclose(ours.conf_int(), given.get_prediction(AT).conf_int(), rtol=1e-4)
    whole = np.sqrt(stats.t.isf(0.025, found.df_interval)) * ours.se_mean
    assert (np.diff(ours.conf_int(), axis=1).ravel() / 2 > whole).all()


def test_what_equalities_fix_has_no_width():
    model = sf.SplineRegression(wave(), BASIS, PENALTY, sf.Equals(0.0, 0.0))
    prediction = model.fit().get_prediction([0.0, 3.0], name="level")
    half, new = (np.diff(prediction.conf_int(obs), axis=1).ravel() / 2 for obs in (False, True))
    assert half[0] < 1e-12 < half[1]
    assert new[0] > 1.9 * model.fit().sigma["level"]


def test_standard_errors_are_those_at_the_estimates():
    free = fitted("SD unknown")
    at = fitted("SD unknown", lam=free.lam)
    ours, theirs = (res.get_prediction(AT, 1) for res in (free, at))
    np.testing.assert_allclose(ours.se_mean, theirs.se_mean, rtol=1e-6)
    np.testing.assert_allclose(ours.predicted_mean, theirs.predicted_mean, rtol=1e-6)
    assert (np.diff(ours.conf_int(), axis=1) > np.diff(theirs.conf_int(), axis=1)).any()


def test_intervals_do_not_depend_on_the_unit_of_x():
    unit = 2.0**20
    wide = sf.BSplineBasis.uniform(0, 6 * unit, K - 3)
    res = sf.SplineRegression(wave(scale=unit), wide, PENALTY).fit()
    for deriv in (0, 1):
        one = fitted("SD unknown").get_prediction(AT, deriv).conf_int()
        np.testing.assert_allclose(res.get_prediction(unit * AT, deriv).conf_int() * unit**deriv, one, rtol=1e-5, atol=1e-6)


def test_an_interval_depends_on_no_other_point():
    together = fitted("two SDs").get_prediction(AT, 1).conf_int()
    alone = np.vstack([fitted("two SDs").get_prediction([x], 1).conf_int() for x in AT])
    np.testing.assert_allclose(alone, together, rtol=1e-12)


def test_chunks_have_the_intervals_of_all_readings():
    obs = wave(60)
    accumulator = sf.SplineRegression.accumulate(BASIS)
    for part in (slice(0, 25), slice(25, None)):
        accumulator.add(sf.observe(obs.x[part], obs.y[part], name="level"))
    chunked = accumulator.model(PENALTY).fit().get_prediction(AT, 2)
    assert chunked.law is not None
    whole = sf.SplineRegression(obs, BASIS, PENALTY).fit().get_prediction(AT, 2)
    np.testing.assert_allclose(chunked.conf_int(), whole.conf_int(), rtol=1e-5)


def test_results_unpickle_with_their_posterior():
    res = fitted("SD unknown")
    before = res.get_prediction(AT, simultaneous=True).conf_int()
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(again.get_prediction(AT, simultaneous=True).conf_int(), before)
    area = res.integrate(0, 1)
    assert pickle.loads(pickle.dumps(area)).conf_int() == area.conf_int()


def test_surfaces():
    """Two weights: draws of them from their nodes, and of the surface given them, have the laws of the intervals."""
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 1, (80, 2))
    obs = sf.observe(X, np.sin(4 * X[:, 0]) * X[:, 1] ** 2 + 0.1 * rng.standard_normal(80), name="z")
    basis = sf.TensorProductBasis(sf.BSplineBasis.uniform(0, 1, 4), sf.BSplineBasis.uniform(0, 1, 3))
    penalty = sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)
    res = sf.SplineRegression(obs, basis, penalty).fit()
    at, size = np.array([[0.2, 0.4], [0.9, 0.1], [0.5, 0.7]]), 4000
    frame = res.hyperparameters
    assert list(frame.columns) == ["lam[0]", "lam[1]", "sigma.z", "weight"]
    prediction = res.get_prediction(at, (1, 0))
    low, high = prediction.conf_int(alpha=ALPHA).T
    picks = rng.choice(len(frame), 30, p=frame["weight"])
    drawn = []
    for pick in picks:  # a fit at each lam, whose SD is integrated by Student's t
        given = sf.SplineRegression(obs, basis, penalty).fit(lam=frame.loc[pick, ["lam[0]", "lam[1]"]].to_numpy())
        own = given.get_prediction(at, (1, 0))
        drawn.append(own.predicted_mean + own.se_mean * rng.standard_t(own.df, (size // 30, 1)))
    inside = np.mean((np.vstack(drawn) > low) & (np.vstack(drawn) < high), axis=0)
    np.testing.assert_allclose(inside, 1 - ALPHA, atol=0.03)
    sampled = res.sample(at, (1, 0), size=size, rng=1)
    np.testing.assert_allclose(np.mean((sampled > low) & (sampled < high), axis=0), 1 - ALPHA, atol=0.02)
    band = res.get_prediction(at, (1, 0), simultaneous=True).conf_int(alpha=ALPHA)
    assert np.mean(((sampled > band[:, 0]) & (sampled < band[:, 1])).all(axis=1)) == pytest.approx(1 - ALPHA, abs=0.02)
    low, high = res.integrate([0, 0], [0.5, 1]).conf_int(ALPHA)
    assert low < res.integrate([0, 0], [0.5, 1]) < high
    assert res.integrate([0, 0], [0.5, 1]).ends is not None


def test_refused_arguments():
    with pytest.raises(SpecificationError, match="parameters is 'all'"):
        fitted("SD unknown").get_prediction(AT, parameters="all")
    with pytest.raises(SpecificationError, match="parameters is 'estimated'"):
        fitted("SD unknown").sample(AT, parameters="estimated")


def test_differences_are_those_of_the_smoothing_spline():
    """Twenty knots a unit: the same curve, its differences and their integrated intervals, in both directions."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 10, 60))
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(60))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 10, 200), sf.DerivativePenalty(2)).fit()
    exact = sf.SmoothingSpline(obs).fit()
    for lower, upper in ((1.0, 4.0), (9.0, 2.5)):
        change, expected = res.difference(lower, upper), exact.difference(lower, upper)
        assert change == pytest.approx(expected, abs=1e-5)
        assert change.se == pytest.approx(expected.se, rel=1e-5)
        np.testing.assert_allclose(change.conf_int(), expected.conf_int(), atol=1e-5)
    same = res.difference(3.0, 3.0)
    assert (float(same), same.se) == (0.0, 0.0)

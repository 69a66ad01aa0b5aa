"""The maximum of the likelihood: certified, where the differences of the likelihood say, and reported at boundaries."""

from itertools import combinations

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import ConvergenceError, DataError, NumericalError, SpecificationError
from smoothfit.gp import search
from smoothfit.gp.pieces import Criterion, Expansion, Singular

KERNELS = [sf.gp.SquaredExponential, sf.gp.Matern32, sf.gp.Matern52]


def llf_at(res, logs):
    """Log-likelihood of the same observations with every hyperparameter given, by logarithms of params."""
    values = dict(zip(res.params.index, np.exp(logs), strict=True))
    obs = res.observations
    total = None
    for reading in obs.readings:
        sd = values.get(f"sigma.{reading.name}")
        sd = reading.sd if sd is None else np.full(len(reading), sd)
        for axis in np.unique(reading.axis):
            mine = reading.axis == axis
            part = sf.gp.observe(
                reading.X[mine], reading.y[mine], axis=None if axis < 0 else int(axis), sd=sd[mine], name=reading.name
            )
            total = part if total is None else total + part
    lengths = [values.get(f"length_scale.{name}", values.get("length_scale", res.length_scale[name])) for name in obs.inputs]
    kernel = type(res.model.kernel)(lengths, values.get("amplitude", res.amplitude))
    return sf.GaussianProcess(total, kernel=kernel, mean=res.model.mean).fit(route=res.route).llf


@pytest.mark.parametrize(
    ("kernel", "mean"),
    [(k(ard=ard), "constant") for k in KERNELS for ard in (True, False)]
    + [(k(), mean) for k in (sf.gp.SquaredExponential, sf.gp.Matern32) for mean in ("zero", "linear")]
    + [(sf.gp.Matern52([None, 1.5]), "linear"), (sf.gp.Matern52(amplitude=0.9), "zero")],
)
def test_slope_of_the_likelihood_vanishes_and_its_curvature_gives_the_errors(kernel, mean, terrain):
    res = sf.GaussianProcess(terrain, kernel=kernel, mean=mean).fit()
    assert res.decrement <= 1e-10
    logs = np.log(res.params.to_numpy())
    assert llf_at(res, logs) == pytest.approx(res.llf, abs=1e-9)
    free = ~res.params.index.isin(res.boundary)
    n, step = len(logs), 1e-3
    slopes, hessian, along = np.zeros(n), np.zeros((n, n)), step * np.eye(n)
    for i in range(n):
        at = [llf_at(res, logs + k * along[i]) for k in (-2, -1, 1, 2)]
        slopes[i] = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)
        hessian[i, i] = (at[1] - 2 * res.llf + at[2]) / step**2
    if free.all():
        for i, j in combinations(range(n), 2):
            both = sum(llf_at(res, logs + k * (along[i] + along[j])) for k in (-1, 1)) - 2 * res.llf
            hessian[i, j] = hessian[j, i] = (both / step**2 - hessian[i, i] - hessian[j, j]) / 2
    errors = res.bse_log.to_numpy()
    # certified to 1e-5 of a standard error; differences err by rounding of llf, 1e-11 / 1e-3
    assert np.max(np.abs(slopes * errors)[free]) < 2e-5
    if free.all():
        np.testing.assert_allclose(res.cov_log_params(), np.linalg.inv(-hessian), rtol=1e-3, atol=1e-3 * errors.max() ** 2)


def test_hyperparameters_are_recovered():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 5, (100, 2))
    truth = sf.gp.Matern52([0.8, 2.0], 1.5)
    prior = sf.GaussianProcess(X[:1], [0.0], truth, sd=1e6, mean="zero").fit().joint_covariance(X)
    f = np.linalg.cholesky(prior + 1e-10 * np.eye(100)) @ rng.standard_normal(100)
    res = sf.GaussianProcess(X, 10 + f + 0.2 * rng.standard_normal(100), sf.gp.Matern52()).fit()
    true = np.log([1.5, 0.8, 2.0, 0.2])
    assert np.max(np.abs(np.log(res.params) - true) / res.bse_log) < 3
    assert (res.bse_log < 0.4).all()
    interval = res.conf_int()
    assert (interval[0] < np.exp(true)).all()
    assert (np.exp(true) < interval[1]).all()
    assert abs(res.mean_coef["const"] - 10) < 3 * np.sqrt(res.cov_mean_coef().iloc[0, 0])


def test_more_starts_do_not_find_better(terrain):
    for kernel in KERNELS:
        model = sf.GaussianProcess(terrain, kernel=kernel())
        assert model.fit(n_starts=3).llf == pytest.approx(model.fit().llf, abs=1e-8)
    for bad in (0, 8, 2.5, True):
        with pytest.raises(SpecificationError, match="n_starts"):
            model.fit(n_starts=bad)


def test_an_input_without_influence_is_reported():
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 1, (50, 3))
    y = np.sin(6 * X[:, 0]) + 0.1 * rng.standard_normal(50)
    reported = {name for kernel in KERNELS for name in sf.GaussianProcess(X, y, kernel()).fit().boundary}
    assert reported <= {"length_scale.x1", "length_scale.x2"}
    assert reported
    res = sf.GaussianProcess(X, y).fit()
    assert "length_scale.x0" not in res.boundary
    for name in res.boundary:
        assert np.isnan(res.bse[name])
        assert f"boundary: {name} is as long" in res.summary().as_text()
    gradient = res.predict_gradient(X)
    assert np.max(np.abs(gradient.mean[:, 1:])) < 0.5
    assert np.sqrt(np.mean((gradient.mean[:, 0] - 6 * np.cos(6 * X[:, 0])) ** 2)) < 1.5


def test_exact_data_with_an_unknown_sd_are_at_the_boundary():
    x = np.linspace(0, 6, 25)
    for kernel in KERNELS:
        res = sf.GaussianProcess(x, np.sin(x), kernel()).fit()
        assert res.boundary[-1:] == ("sigma.f",)
        assert np.isnan(res.bse["sigma.f"])
        assert np.isfinite(res.bse["amplitude"])
        if kernel is sf.gp.Matern32:  # its states make intervals of exact observations cheap
            assert "at a boundary" in res.summary().as_text()
        inner = np.linspace(1, 5, 20)
        rough = {sf.gp.SquaredExponential: 1e-3, sf.gp.Matern32: 0.05, sf.gp.Matern52: 5e-3}[kernel]
        np.testing.assert_allclose(res.predict_gradient(inner).mean[:, 0], np.cos(inner), atol=rough)


def test_noise_alone_has_no_amplitude():
    y = np.random.default_rng(3).standard_normal(25)
    res = sf.GaussianProcess(np.linspace(0, 6, 25), y).fit()
    assert "amplitude" in res.boundary
    assert np.isnan(res.bse["amplitude"])
    assert res.sigma["f"] == pytest.approx(y.std(ddof=1), rel=1e-5)
    assert res.bse_log["sigma.f"] == pytest.approx(1 / np.sqrt(2 * 24), rel=1e-4)
    assert "the observations are the mean and noise" in res.summary().as_text()


def test_no_noise_to_estimate_and_nothing_certain_is_an_error():
    x = np.linspace(0, 6, 25)
    with pytest.raises((ConvergenceError, NumericalError), match="sd=None"):  # the likelihood rises into singularity
        sf.GaussianProcess(x, np.sin(x), sf.gp.SquaredExponential(), sd=0).fit()
    line = 3 * x + 1
    with pytest.raises(DataError, match="follow the mean exactly"):
        sf.GaussianProcess(x, line, mean="linear").fit()
    with pytest.raises(DataError, match="too few for 3 hyperparameters and 1 terms"):
        sf.GaussianProcess(x[:4], np.sin(x[:4]))


class Bowl(Criterion):
    """A criterion of our own, for what real ones seldom do."""

    def __init__(self, model, function):
        super().__init__(None, model.rows, model.parameters)
        object.__setattr__(self, "function", function)

    def values(self, u):
        return np.array([self.function(v)[0] for v in u])

    def expand(self, u, hessian=False):
        value, gradient, second = self.function(u)
        if not np.isfinite(value):
            raise Singular(0)
        return Expansion(value, gradient, second)


def test_what_cannot_be_certified_is_refused(terrain):
    model = sf.GaussianProcess(terrain, kernel=sf.gp.Matern52(amplitude=1.0, length_scale=[1.0, None]))
    n = model.parameters.n_free

    def wrong(u):  # the gradient does not belong to the values
        return float(u @ u), np.ones(n), np.eye(n)

    with pytest.raises(ConvergenceError, match=r"no descent|not converged"):
        search.search(Bowl(model, wrong), 1)

    def nowhere(u):
        return np.inf, np.ones(n), np.eye(n)

    with pytest.raises(NumericalError, match="at every start"):
        search.search(Bowl(model, nowhere), 1)

    def cliff(u):  # falls towards where nothing can be computed
        distance = u[0] + 1.0
        if distance <= 0:
            return np.inf, np.full(n, np.nan), np.full((n, n), np.nan)
        rest = np.ones(n)
        rest[0] = 0.0
        gradient = 2 * rest * u
        gradient[0] = 5.0
        return float(5 * u[0] + (rest * u) @ u), gradient, np.diag(2 * rest)

    with pytest.raises(ConvergenceError, match=r"no descent|not converged"):
        search.search(Bowl(model, cliff), 2)


def test_a_plateau_is_said_to_be_one(terrain):
    model = sf.GaussianProcess(terrain, kernel=sf.gp.Matern52(amplitude=1.0, length_scale=[1.0, None]))
    n = model.parameters.n_free

    def plateau(u):  # no curvature that could be told from rounding along the first variable
        weight = np.r_[0.0, np.ones(n - 1)]
        slope = np.r_[1e-4 * np.sign(np.sin(1e9 * u[0])), np.zeros(n - 1)]
        return float(weight @ (u + 1) ** 2), 2 * weight * (u + 1) + slope, np.diag(np.r_[-5e-3, 2 * np.ones(n - 1)])

    optimum = search.search(Bowl(model, plateau), 1)
    assert optimum.on_plateau or optimum.at_lower[0] or optimum.at_upper[0]
    np.testing.assert_allclose(optimum.theta[1:], -1, atol=1e-3)


def test_an_amplitude_alone_has_a_closed_form(oracle):
    x = np.linspace(0, 6, 12)
    for kernel in KERNELS:
        res = sf.GaussianProcess(x, np.sin(x), kernel(1.0), sd=0).fit()
        assert list(res.params.index) == ["amplitude"]
        assert res.bse_log["amplitude"] == pytest.approx(1 / np.sqrt(2 * 11), rel=1e-8)  # chi-squared on 11 degrees of freedom
        truth = oracle(res)
        quadratic = float((truth.residual.T * truth.weights)[0])
        assert quadratic == pytest.approx(11, rel=1e-7)
        assert "in closed form" in res.summary().as_text()
    with pytest.raises(NumericalError, match="singular"):
        sf.GaussianProcess(np.linspace(0, 1, 12), x, sf.gp.SquaredExponential(10.0), sd=0).fit()
    with pytest.raises(DataError, match="follow the mean exactly"):
        sf.GaussianProcess(x, np.sin(x) * 0 + 3 * x + 1, sf.gp.Matern52(1.0), sd=0, mean="linear").fit()

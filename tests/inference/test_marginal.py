import numpy as np
import pytest
import scipy

from smoothfit.inference.marginal import at_estimate, integrate, log_density
from smoothfit.results.mixtures import mixture


def maximum(engine):
    """Maximum of the restricted likelihood."""

    def objective(theta):
        log_det, sse = (term.value[0] for term in engine.terms(np.asarray(theta)[None, :]))
        return (log_det + (engine.count * np.log(sse) if engine.relative else sse)) / 2

    p = len(engine.lower)
    grids = [np.linspace(low, high, 51 if p == 1 else 15) for low, high in zip(engine.lower, engine.upper, strict=True)]
    start = min(np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, p), key=objective)
    bounds = list(zip(engine.lower, engine.upper, strict=True))
    return scipy.optimize.minimize(objective, start, bounds=bounds, method="Nelder-Mead", options={"xatol": 1e-6}).x


CURVES = {"sine": lambda x: np.sqrt(2) * np.sin(2 * np.pi * x), "constant": np.zeros_like, "kink": lambda x: 4 * abs(x - 0.4)}


def simulated(dense_engine, wiener_curve, name, n, seed=0):
    x = np.linspace(0, 1, n)
    trend, kernel, functionals = wiener_curve(x, np.linspace(-0.1, 1.2, 9))
    y = CURVES[name](x) + 0.3 * np.random.default_rng(seed).standard_normal(n)
    return dense_engine(y, trend, [kernel]), functionals


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("n", [8, 30])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_intervals_are_those_of_dense_quadrature(dense_engine, wiener_curve, name, n, seed):
    engine, functionals = simulated(dense_engine, wiener_curve, name, n, seed)
    posterior = integrate(engine, maximum(engine))
    law = mixture(posterior, engine.moments(posterior.theta, functionals))
    theta = np.linspace(-12, 25, 400)[:, None]
    density = np.exp(log_density(engine, theta) - log_density(engine, theta).max())
    sse = engine.terms(theta).sse.value
    exact = at_estimate(engine, theta[0])
    exact = type(exact)(theta, density / density.sum(), sse / engine.count, exact.df, False)
    dense = mixture(exact, engine.moments(theta, functionals)).interval()
    assert (np.abs(law.interval() - dense) / np.diff(dense)).max() < 0.005
    assert len(posterior.weights) < 40

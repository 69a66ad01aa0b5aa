import math
import os

import matplotlib
import numpy as np
import pytest
import scipy
from hypothesis import settings

import smoothfit as sf
from smoothfit.inference.engine import Expansion, Moments, Terms, information_of_scales

matplotlib.use("Agg")

# The same examples in every run, however loaded the machine is; `pytest --hypothesis-profile=search` draws new ones, and more.
# Tests whose examples are dear say a smaller number themselves.
settings.register_profile("search", deadline=None, max_examples=200)
settings.register_profile("repeat", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("repeat")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """As many processes as processors; none for chosen tests or with -s, so that print() and breakpoint() work as usual."""
    chosen = config.option.keyword or config.getoption("lf", False) or any("::" in argument for argument in config.args)
    if chosen or config.option.capture == "no":
        return 0
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes():
    """Every process has a processor: threads of their own would stand in one another's way."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Notebooks and pages first: each of the two files takes long in one process, for which the others would wait at the end."""
    items.sort(key=lambda item: item.path.name not in ("test_examples.py", "test_pages.py"))


@pytest.fixture(autouse=True, scope="module")
def fresh_generator(request):
    """The state in which the module's generator was when its tests began to run."""
    generator = getattr(request.module, "RNG", None)
    return generator and (generator, generator.bit_generator.state)


@pytest.fixture(autouse=True)
def same_draws_in_any_order(fresh_generator):
    """Every test draws what it would draw alone, whichever tests ran before it in its process."""
    if fresh_generator is not None:
        generator, state = fresh_generator
        generator.bit_generator.state = state


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def wave():
    """Noisy observations of sin and of its derivative."""
    rng = np.random.default_rng(42)
    x, t = np.sort(rng.uniform(0, 6, 60)), rng.uniform(0, 6, 40)
    return sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(60), name="level") + sf.observe(
        t, np.cos(t) + 0.2 * rng.standard_normal(40), deriv=1, name="rate"
    )


class Dense:
    """A Gaussian model with covariance K0 + sum exp(theta_i) K_i, means X b, b diffuse: the protocol of engines in plain NumPy.

    Functionals are (X_f, [C_i], [V_i]): their trend, covariances (n_f, n) with the observations and among themselves (n_f, n_f).
    """

    has_slow_prior, is_linear = False, True

    def __init__(self, y, X, kernels, fixed=None, relative=True, lower=-25.0, upper=25.0):
        self.y, self.X, self.kernels, self.relative = np.asarray(y, float), X, kernels, relative
        self.fixed = np.eye(len(y)) if fixed is None else fixed
        self.contrasts = scipy.linalg.null_space(X.T)
        self.count = self.contrasts.shape[1]
        self.lower, self.upper = np.full(len(kernels), float(lower)), np.full(len(kernels), float(upper))
        self.names = tuple(f"variance {i}" for i in range(len(kernels)))

    def covariance(self, theta):
        return self.fixed + sum(np.exp(t) * K for t, K in zip(theta, self.kernels, strict=True))

    def terms(self, theta, order=0):
        p = theta.shape[1]
        log_det, sse = ([np.empty(len(theta)), np.empty((len(theta), p)), np.empty((len(theta), p, p))] for _ in range(2))
        A = self.contrasts
        z, inner = A.T @ self.y, [A.T @ K @ A for K in self.kernels]
        for i, t in enumerate(theta):
            W = A.T @ self.fixed @ A + sum(np.exp(a) * K for a, K in zip(t, inner, strict=True))
            log_det[0][i] = np.linalg.slogdet(W)[1]
            u = np.linalg.solve(W, z)
            sse[0][i] = z @ u
            if order:
                scaled = [np.exp(a) * np.linalg.solve(W, K) for a, K in zip(t, inner, strict=True)]
                moved = [s @ u for s in scaled]
                log_det[1][i] = [np.trace(s) for s in scaled]
                sse[1][i] = [-z @ m for m in moved]
                for j, k in np.ndindex(p, p):
                    log_det[2][i, j, k] = (j == k) * log_det[1][i, j] - np.sum(scaled[j] * scaled[k].T)
                    sse[2][i, j, k] = (j == k) * sse[1][i, j] + 2 * z @ scaled[j] @ moved[k]
        return Terms(*(Expansion(*(part if i <= order else None for i, part in enumerate(parts))) for parts in (log_det, sse)))

    @property
    def is_size(self):
        return np.ones(len(self.lower), dtype=bool)

    def log_prior_of_shapes(self, theta):
        return np.zeros(len(theta))

    def information(self, theta):
        return information_of_scales(self.terms(theta, order=2).log_det, self.count, self.relative)

    def _posterior(self, theta, functionals):
        X_f, covariances, variances = functionals
        K = self.covariance(theta)
        C = sum(np.exp(t) * C_i for t, C_i in zip(theta, covariances, strict=False))  # noise comes last and is no part of f
        V = sum(np.exp(t) * V_i for t, V_i in zip(theta, variances, strict=False))
        KX, KC = np.linalg.solve(K, self.X), np.linalg.solve(K, np.asarray(C).T)
        rest, gram = X_f - KC.T @ self.X, self.X.T @ KX
        b = np.linalg.solve(gram, KX.T @ self.y)
        return X_f @ b + KC.T @ (self.y - self.X @ b), V - C @ KC + rest @ np.linalg.solve(gram, rest.T)

    def moments(self, theta, functionals):
        means, covariances = zip(*(self._posterior(t, functionals) for t in theta), strict=True)
        return Moments(np.array(means), np.array([np.diag(c) for c in covariances]))

    def draws(self, theta, functionals):
        values, vectors = np.linalg.eigh(self._posterior(theta, functionals)[1])
        root = vectors * np.sqrt(np.maximum(values, 0))
        return lambda rng, size: rng.standard_normal((size, len(values))) @ root.T

    def leverages(self, theta):
        raise NotImplementedError

    def stream(self, theta, lag=None):
        raise NotImplementedError


@pytest.fixture(scope="session")
def dense_engine():
    """The class of dense engines."""
    return Dense


@pytest.fixture(scope="session")
def wiener_curve():
    """``wiener_curve(x, at, order)``: trend and covariance of an integrated Wiener curve at x, and the functionals f(at)."""

    def covariance(a, b, m):
        nodes, weights = np.polynomial.legendre.leggauss(m + 2)  # of polynomials of degree 2 m - 2, from 0 to the lesser
        low = np.minimum(a[:, None], b[None, :])
        u = low[..., None] * (nodes + 1) / 2
        powers = ((a[:, None, None] - u) * (b[None, :, None] - u)) ** (m - 1) / math.factorial(m - 1) ** 2
        return (powers * weights).sum(axis=-1) * low / 2

    def make(x, at, order=2):
        trend = np.vander(x, order, increasing=True)
        functionals = np.vander(at, order, increasing=True), [covariance(at, x, order)], [covariance(at, at, order)]
        return trend, covariance(x, x, order), functionals

    return make

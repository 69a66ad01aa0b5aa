"""An oracle: Gaussian-process posterior and likelihood by dense algebra with many digits, its kernels by the general formulas."""

import itertools

import mpmath
import numpy as np
import pytest

import smoothfit as sf

MP = mpmath.mp.clone()
MP.dps = 120
STEP = MP.mpf("1e-25")  # central differences: 1e-25 where a kernel has a kink in the next derivative, 1e-20 by rounding


def squared_exponential(r):
    return MP.exp(-r * r / 2)


def matern(nu):
    def phi(r):
        if r == 0:
            return MP.mpf(1)
        z = MP.sqrt(2 * nu) * r
        return 2 ** (1 - MP.mpf(nu)) / MP.gamma(nu) * z**nu * MP.besselk(nu, z)

    return phi


# closed forms, which test_terms checks against the Bessel functions
def matern12(r):
    return MP.exp(-r)


def matern32(r):
    z = MP.sqrt(3) * r
    return (1 + z) * MP.exp(-z)


def matern52(r):
    z = MP.sqrt(5) * r
    return (1 + z + z * z / 3) * MP.exp(-z)


PHI = {
    sf.gp.SquaredExponential: squared_exponential,
    sf.gp.Matern12: matern12,
    sf.gp.Matern32: matern32,
    sf.gp.Matern52: matern52,
}


def derivative(function, point, axes):
    """Central differences of a function of a list of numbers along axes (repeated ones for higher orders)."""
    total = MP.mpf(0)
    for signs in itertools.product((1, -1), repeat=len(axes)):
        at = list(point)
        for sign, axis in zip(signs, axes, strict=True):
            at[axis] += sign * STEP
        total += np.prod(signs, dtype=int).item() * function(at)
    return total / (2 * STEP) ** len(axes)


def to_mp(values):
    return [[MP.mpf(float(v)) for v in row] for row in np.atleast_2d(values)]


class Oracle:
    """Posterior given rows (point, axis or -1, observation, noise variance) and known hyperparameters."""

    def __init__(self, kernel, X, axis, y, variance, length, amplitude, mean):
        self.phi = PHI[kernel]
        self.X, self.d = to_mp(X), len(X[0])
        self.functionals = [() if a < 0 else (int(a),) for a in axis]
        self.length = [MP.mpf(v) for v in length]
        self.amplitude = MP.mpf(amplitude)
        self.mean = mean
        self.y = MP.matrix([MP.mpf(float(v)) for v in y])
        self.variance, self.n = variance, len(self.X)
        self.K = MP.matrix(self.n, self.n)
        for i in range(self.n):
            for j in range(i + 1):
                self.K[i, j] = self.K[j, i] = self.prior(self.X[i], self.functionals[i], self.X[j], self.functionals[j])
            self.K[i, i] += MP.mpf(variance[i])
        self.H = MP.matrix([self.terms(x, A) for x, A in zip(self.X, self.functionals, strict=True)]) if mean != "zero" else None
        self.p = 0 if self.H is None else self.H.cols
        self.K_inverse = self.K**-1
        if self.p:
            self.S = self.H.T * self.K_inverse * self.H
            self.coef = MP.lu_solve(self.S, self.H.T * self.K_inverse * self.y)
            self.residual = self.y - self.H * self.coef
        else:
            self.residual = self.y
        self.weights = self.K_inverse * self.residual

    @property
    def precision(self):
        """K^-1 without what the mean's terms take, P in the package's notation."""
        if not self.p:
            return self.K_inverse
        seen = self.K_inverse * self.H
        return self.K_inverse - seen * self.S**-1 * seen.T

    def prior(self, x, A, z, B):
        d = self.d

        def k(both):
            r2 = sum(((both[j] - both[d + j]) / self.length[j]) ** 2 for j in range(d))
            return self.phi(MP.sqrt(r2))

        return self.amplitude**2 * derivative(k, list(x) + list(z), list(A) + [d + b for b in B])

    def terms(self, x, A):
        full = [MP.mpf(1), *x][: 1 if self.mean == "constant" else None]
        if not A:
            return full
        if len(A) > 1:
            return [MP.mpf(0)] * len(full)
        return [MP.mpf(int(i == A[0] + 1)) for i in range(len(full))]

    def moments(self, x, entries):
        """Means and covariances of derivatives at one point."""
        x = to_mp(x)[0]
        k = [MP.matrix([self.prior(X, B, x, A) for X, B in zip(self.X, self.functionals, strict=True)]) for A in entries]
        mean, cov = [], np.empty((len(entries), len(entries)))
        rests = []
        for A, column in zip(entries, k, strict=True):
            value = (column.T * self.weights)[0]
            if self.p:
                h = MP.matrix(self.terms(x, A))
                value += (h.T * self.coef)[0]
                rests.append(h - self.H.T * self.K_inverse * column)
            mean.append(float(value))
        for i, A in enumerate(entries):
            for j, B in enumerate(entries):
                value = self.prior(x, A, x, B) - (k[i].T * self.K_inverse * k[j])[0]
                if self.p:
                    value += (rests[i].T * MP.lu_solve(self.S, rests[j]))[0]
                cov[i, j] = float(value)
        return np.array(mean), cov

    @property
    def llf(self):
        """Restricted log-likelihood in Harville's form, unrounded."""
        total = (self.n - self.p) * MP.log(2 * MP.pi) + MP.log(MP.det(self.K)) + (self.residual.T * self.weights)[0]
        if self.p:
            total += MP.log(MP.det(self.S)) - MP.log(MP.det(self.H.T * self.H))
        return -total / 2


def oracle_of(results):
    """The oracle at the hyperparameters of a fit."""
    obs = results.observations
    variance = np.concatenate(
        [r.variance_ratio * (float(results.sigma[r.name]) ** 2 if r.sd is None else 1.0) for r in obs.readings]
    )
    kernel = results.model.kernel
    return Oracle(
        type(kernel), obs.X, obs.axis, obs.y, variance, results.length_scale.tolist(), results.amplitude, results.model.mean
    )


@pytest.fixture(scope="session")
def oracle():
    """oracle(results): posterior and likelihood with many digits, at the fitted hyperparameters."""
    return oracle_of


@pytest.fixture(scope="session")
def oracle_at():
    """Oracle(kernel, X, axis, y, variance, length, amplitude, mean): the same at any hyperparameters."""
    return Oracle


@pytest.fixture(scope="session")
def mp():
    """The oracle's arithmetic: phi of kernels, differences of functions."""
    return MP, PHI, derivative, matern


@pytest.fixture(scope="session")
def terrain():
    """Noisy heights and slopes of sin(x) cos(y) at 25 points."""
    rng = np.random.default_rng(7)
    X = rng.uniform(0, 4, (25, 2))
    height = np.sin(X[:, 0]) * np.cos(X[:, 1]) + 0.05 * rng.standard_normal(25)
    slopes = np.column_stack([np.cos(X[:, 0]) * np.cos(X[:, 1]), -np.sin(X[:, 0]) * np.sin(X[:, 1])])
    slopes += 0.1 * rng.standard_normal((25, 2))
    return sf.gp.observe(X, height, name="height") + sf.gp.observe(X[:10], slopes[:10], axis="all")

"""Dense twins of state space models: closed covariances of derivatives and integrals, none of which knows a state."""

from functools import cache
from typing import NamedTuple

from mpmath import exp, factorial, mp, mpf, sqrt

from .dense import Twin

BEFORE = -1  # where integrated Wiener processes start, before all values of x


def wiener(order):
    """Covariance of f^(i)(s) and f^(j)(t), i and j from -1 on: q times the integral of products of Green's functions."""

    @cache
    def unit(i, s, j, t):
        a, b, low = order - 1 - i, order - 1 - j, min(s, t) - BEFORE
        left, right = s - BEFORE, t - BEFORE  # integral over u in (0, low) of (left - u)^a (right - u)^b / (a! b!)
        total = mpf(0)
        for k in range(a + 1):  # left - u = (low - u) + (left - low), binomially
            for m in range(b + 1):
                power = k + m + 1
                share = mp.binomial(a, k) * mp.binomial(b, m) * (left - low) ** (a - k) * (right - low) ** (b - m)
                total += share * low**power / power
        return total / (factorial(a) * factorial(b))

    return lambda values, *functionals: values["q"] * unit(*functionals)


def polynomial(degree):
    """Row of the unknown constants of x^j / j!, of its derivatives and its integral."""
    return lambda i, x: [x ** (j - i) / factorial(j - i) if j >= i else mpf(0) for j in range(degree + 1)]


def matern(nu):
    def covariance(values, i, s, j, t):
        scale, size, r = values["length_scale"], values["amplitude"] ** 2, s - t
        if nu == 0.5:
            assert i == j == 0
            return size * exp(-abs(r) / scale)
        assert nu == 1.5
        c = sqrt(mpf(3)) / scale
        decay = size * exp(-c * abs(r))
        table = {(0, 0): 1 + c * abs(r), (1, 0): -(c**2) * r, (0, 1): c**2 * r, (1, 1): c**2 * (1 - c * abs(r))}
        return table[i, j] * decay

    return covariance


def atoms(kind, x, upper=None):
    """A functional as a sum of weight times f^(i)(x), i = -1 the antiderivative."""
    x = mpf(x)
    if kind == "integral":
        return [(1, -1, mpf(upper)), (-1, -1, x)]
    if kind == "mean":
        return [(1 / (mpf(upper) - x), -1, mpf(upper)), (-1 / (mpf(upper) - x), -1, x)]
    if kind == "difference":
        return [(1, 0, mpf(upper)), (-1, 0, x)]
    return [(1, kind, x)]


class Asked(NamedTuple):
    """A functional of a curve: a derivative at x, or an integral, mean or difference up to `upper`."""

    kind: int | str
    x: float
    upper: float | None = None
    component: str | None = None
    columns: tuple[float, ...] | None = None


def twin_of(observed, components, constants, values, columns=()):
    """Twin of a process: a sum of components, of which the first has the unknown constants.

    Parameters
    ----------
    observed : list of (Asked, y, series, ratio)
        Observations; the variance of one is `ratio` times values(theta)["sigma2"][series].
    components : dict from name to covariance
    constants : callable (i, x) -> row
        Of the unknown constants, for the derivative i at x.
    values : callable theta -> dict
        A dict of parameters for each component, and ``"sigma2"``.
    columns : sequence of float
        Values of regressors where a functional has none: zeros.
    """
    first = next(iter(components))

    def joint(theta, asked):
        found, rows = values(theta), [row for row, *_ in observed] + list(asked or [])
        parts = [atoms(row.kind, row.x, row.upper) for row in rows]
        K = mp.matrix(len(rows), len(rows))
        for a in range(len(rows)):
            for b in range(a + 1):
                for name, covariance in components.items():
                    if {rows[a].component, rows[b].component} <= {None, name}:
                        K[a, b] += sum(v * w * covariance(found[name], i, s, j, t) for v, i, s in parts[a] for w, j, t in parts[b])
                K[b, a] = K[a, b]
        for a, variance in enumerate(noise(theta)):
            K[a, a] += variance
        return K

    def noise(theta):
        sigma2 = values(theta)["sigma2"]
        return [mpf(ratio) * sigma2[series] for *_, series, ratio in observed]

    def design(asked):
        rows = []
        for row in [row for row, *_ in observed] + list(asked or []):
            told = [[w * c for c in constants(i, x)] for w, i, x in atoms(row.kind, row.x, row.upper)]
            of_process = [sum(column) if row.component in (None, first) else mpf(0) for column in zip(*told, strict=True)]
            rows.append(of_process + [mpf(c) for c in (columns if row.columns is None else row.columns)])
        return mp.matrix(rows)

    return Twin([mpf(y) for _, y, *_ in observed], joint, design, noise)

"""300 hard cases for numeric derivatives: a function for floats, the same for mpmath, a point, and what makes it hard.

The truth is the derivative of the function at the double that is x, to 60 digits.
"""

from dataclasses import dataclass
from functools import cached_property

import mpmath
import numpy as np
import pytest
from scipy import special


@dataclass(frozen=True)
class Case:
    name: str
    function: object  # of numbers and of arrays
    slope: object  # its derivative, of mpmath numbers
    x: float
    analytic: bool = True

    @cached_property
    def truth(self):
        with mpmath.workdps(60):
            return float(self.slope(mpmath.mpf(self.x)))

    def __str__(self):
        return f"{self.name} at {self.x:g}"


m = mpmath


def _families():
    """Name, function, derivative, points, analytic."""
    tiny = [10.0**-k for k in (1, 2, 3, 4, 6, 8, 10, 12, 15, 20)]
    wide = [s * 10.0**k for k in (-8, -3, 0, 1, 3, 6) for s in (1, -1.7)]
    large = [1.0, 1e2, 1e4, 1e6, 12345678.9, 1e8]
    yield "log", np.log, lambda x: 1 / x, [*tiny, 1e8, 1e200], True
    yield "sqrt", np.sqrt, lambda x: 1 / (2 * m.sqrt(x)), [*tiny, 1e6, 1e100], True
    yield "1/x", lambda x: 1 / x, lambda x: -1 / x**2, [*tiny, -1e-3, 1e5], True
    yield "sin", np.sin, m.cos, [*large, *(-p for p in large)], True
    yield "sin 50x", lambda x: np.sin(50 * x), lambda x: 50 * m.cos(50 * x), [0.3, 1.0, 3.0, 1e3, 1e5], True
    yield "sin 1/x", lambda x: np.sin(1 / x), lambda x: -m.cos(1 / x) / x**2, [0.5, 0.05, 0.01, 1e-3, -2e-4, 1e-5], True
    yield "exp", np.exp, m.exp, [-700.0, -30.0, -1.0, 0.0, 1e-9, 1.0, 30.0, 300.0, 700.0], True
    yield "exp -x^2", lambda x: np.exp(-(x**2)), lambda x: -2 * x * m.exp(-(x**2)), [0.1, 1.0, 5.0, 10.0, 20.0, -26.0], True
    yield "x^9", lambda x: x**9, lambda x: 9 * x**8, wide, True
    yield "1/(1 + x^2)", lambda x: 1 / (1 + x**2), lambda x: -2 * x / (1 + x**2) ** 2, wide, True
    yield "1/(1 - x)", lambda x: 1 / (1 - x), lambda x: 1 / (1 - x) ** 2, [1 - p for p in tiny[:8]] + [1 + 1e-5], True
    yield "1/(x^2 - 1)", lambda x: 1 / (x**2 - 1), lambda x: -2 * x / (x**2 - 1) ** 2, [1 + p for p in tiny[:6]], True
    yield "tan", np.tan, lambda x: 1 / m.cos(x) ** 2, [0.0, 1.5, 1.57, 1.5707, 1.570796, 10.9955], True
    yield "tanh 1e6 x", lambda x: np.tanh(1e6 * x), lambda x: 1e6 / m.cosh(1e6 * x) ** 2, [0.0, 1e-7, 1e-6, -5e-6, 1.5e-5], True
    yield "arctan 1e8 x", lambda x: np.arctan(1e8 * x), lambda x: 1e8 / (1 + (10**8 * x) ** 2), [0.0, 1e-9, 1e-7, 1e-3, 1.0], True
    yield "arcsin", np.arcsin, lambda x: 1 / m.sqrt(1 - x**2), [0.0, 0.5, 0.99, 1 - 1e-6, 1 - 1e-10, -1 + 1e-8], True
    yield "x log x", lambda x: x * np.log(x), lambda x: m.log(x) + 1, [1e-12, 1e-8, 1e-3, 0.3678, 1.0, 1e4], True
    yield "x^1.5", lambda x: x**1.5, lambda x: m.mpf(3) / 2 * m.sqrt(x), [1e-10, 1e-5, 1.0, 1e5], True
    yield "x^-3.5", lambda x: x**-3.5, lambda x: -m.mpf(7) / 2 * x ** (-m.mpf(9) / 2), [1e-4, 1e-2, 1.0, 1e3, 1e10], True
    yield "offset", lambda x: 1e6 + np.sin(x), m.cos, [0.3, 1.0, 100.0], True
    yield "huge", lambda x: 1e250 * np.cos(x), lambda x: -m.mpf(1e250) * m.sin(x), [0.5, 2.0, -3.0], True
    yield "small", lambda x: 1e-250 * np.cos(x), lambda x: -m.mpf(1e-250) * m.sin(x), [0.5, 2.0, -3.0], True
    yield "wiggle", lambda x: x + 1e-3 * np.sin(1e4 * x), lambda x: 1 + 10 * m.cos(10**4 * x), [0.1, 1.0, 7.0], True
    yield (
        "logistic",
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: m.exp(-x) / (1 + m.exp(-x)) ** 2,
        [-40.0, -1.0, 0.0, 5.0, 20.0],
        True,
    )
    yield "log1p exp", lambda x: np.log1p(np.exp(x)), lambda x: 1 / (1 + m.exp(-x)), [-30.0, 0.0, 3.0, 30.0], True
    yield "expm1", np.expm1, m.exp, [1e-12, -1e-5, 0.0, 1.0], True
    yield (
        "cancellation",
        lambda x: (1 - np.cos(x)) / x**2,
        lambda x: m.sin(x) / x**2 - 2 * (1 - m.cos(x)) / x**3,
        [1e-3, 0.1, 1.0],
        True,
    )
    yield "sinh", np.sinh, m.cosh, [-300.0, -1e-9, 0.0, 2.0, 700.0], True
    yield "2^x", lambda x: 2.0**x, lambda x: m.log(2) * m.mpf(2) ** x, [-1000.0, -1.0, 0.0, 52.0, 1000.0], True
    yield "1/log", lambda x: 1 / np.log(x), lambda x: -1 / (x * m.log(x) ** 2), [1e-100, 1e-8, 0.9, 1.001, 1e50], True
    yield (
        "sqrt(1 - x^2)",
        lambda x: np.sqrt((1 - x) * (1 + x)),
        lambda x: -x / m.sqrt((1 - x) * (1 + x)),
        [0.6, -0.999, 1 - 1e-9],
        True,
    )
    yield "chirp", lambda x: np.sin(x**2), lambda x: 2 * x * m.cos(x**2), [0.0, 1.0, 30.0, 1e3, 1e4], True
    yield (
        "Gaussian at 1e3",
        lambda x: np.exp(-(((x - 1e3) / 1e-3) ** 2)),
        (lambda x: -2 * (x - 1000) * m.mpf(1e-3) ** -2 * m.exp(-(((x - 1000) / m.mpf(1e-3)) ** 2))),
        [1000.0, 1000.0005, 1000.001, 999.998],
        True,
    )
    # smooth, but not for complex numbers
    yield "gammaln", special.gammaln, m.digamma, [1e-8, 1e-3, 0.5, 1.4616, 10.0, 1e5], False
    yield "cbrt", np.cbrt, lambda x: 1 / (3 * m.cbrt(x) ** 2), [1e-9, 1e-4, 1.0, 8.0, 1e6], False
    yield "ndtr", special.ndtr, m.npdf, [-30.0, -10.0, -3.0, 0.0, 3.0], False
    yield "J0", special.j0, lambda x: -m.besselj(1, x), [0.1, 1.0, 10.0, 100.0], False
    yield "abs cubed", lambda x: np.abs(x) ** 3, lambda x: 3 * x * abs(x), [-2.0, -1e-3, 0.0, 1e-6, 5.0], False
    yield "x abs x", lambda x: x * np.abs(x), lambda x: 2 * abs(x), [-2.0, -1e-3, 1e-6, 5.0], False
    # beside a kink, a jump, a switch
    near = [1e-9, 1e-6, 1e-3, -1e-9, -1e-5, 0.5, -2.0]
    yield "abs", np.abs, m.sign, near, False
    yield "relu", lambda x: np.maximum(x, 0.0), lambda x: m.mpf(x > 0), near, False
    yield "abs sin", lambda x: np.abs(np.sin(x)), lambda x: m.sign(m.sin(x)) * m.cos(x), [1e-4, 3.1416, 3.14, 6.0, 100.0], False
    yield (
        "switch",
        lambda x: np.where(x < 1, x**2, np.exp(x)),
        lambda x: 2 * x if x < 1 else m.exp(x),
        [0.999, 1 - 1e-8, 1.0001, 2.0],
        False,
    )
    yield "floor", lambda x: x - np.floor(x), lambda x: m.mpf(1), [0.25, 1 + 1e-6, 2 - 1e-7, 100.5], False
    yield "sqrt x^2", lambda x: np.sqrt(x**2), m.sign, [1e-8, -1e-3, 2.0], True
    yield "norm", lambda x: np.hypot(x, 1e-6), lambda x: x / m.sqrt(x**2 + m.mpf(1e-6) ** 2), [0.0, 1e-7, 1e-6, 1e-3, 1.0], False
    # polynomials and rational functions with clustered roots, at random points
    rng = np.random.default_rng(7)
    for x in np.round(rng.uniform(-3, 3, 14), 6):
        roots = np.round(rng.normal(size=5), 3)

        def product(z, roots=roots):
            value = z - roots[0]
            for root in roots[1:]:
                value = value * (z - root)
            return value

        def slope(z, roots=roots):
            terms = [z - m.mpf(float(root)) for root in roots]
            return m.fsum(m.fprod(t for j, t in enumerate(terms) if j != i) for i in range(len(terms)))

        yield "quintic", product, slope, [float(x)], True
        yield (
            "ratio",
            lambda z, p=product: p(z) / (z**2 + 0.01),
            (
                lambda z, p=product, s=slope, r=roots: (
                    s(z) / (z**2 + m.mpf(0.01)) - 2 * z * m.fprod(z - m.mpf(float(q)) for q in r) / (z**2 + m.mpf(0.01)) ** 2
                )
            ),
            [float(x)],
            True,
        )


@pytest.fixture(scope="session")
def hard_cases():
    return [Case(name, f, slope, float(x), analytic) for name, f, slope, points, analytic in _families() for x in points]

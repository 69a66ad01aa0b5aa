import numpy as np
import pytest

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.specification import Equation

TRUTH = {1: [-1.0, 2.0, 0.5], 2: [-4.0, -1.0, 2.0, 0.5], 3: [-6.0, -11.0, -6.0, 2.0, 0.5]}


def held(rng, n, rows):
    """An input that is held for some rows."""
    return np.repeat(rng.choice([-1.0, 1.0], -(-n // rows)), rows)[:n]


def solution(theta, t, u, order=1, q=0.0, rng=None, initial=None, intersample="zoh", derivatives=None):
    """Outputs of y^(m) = theta . (y, y', ..., u, 1), with process noise where rng is given."""
    derivatives = tuple(range(order)) if derivatives is None else derivatives
    equation = Equation(order, ("y",), derivatives, ("u",), (), True, intersample)
    start = np.zeros(order) if initial is None else np.asarray(initial, dtype=float)
    return response.simulate(equation, np.asarray(theta, dtype=float), t, u[:, None], start, np.array([q]), rng)


@pytest.fixture(scope="session")
def noisy():
    """t, u and y of y' = -y + 2 u + 0.5 with process noise 0.3 and measurement noise 0.1."""
    rng = np.random.default_rng(7)
    t = np.arange(400) * 0.05
    u = held(rng, 400, 10)
    y = solution([-1.0, 2.0, 0.5], t, u, q=0.09, rng=rng)[:, 0]
    return t, u, y + 0.1 * rng.standard_normal(400)


def long_sample(order, intersample, offset):
    rng = np.random.default_rng(order)
    n = 3000
    t, u = np.tile(np.arange(n // 3) * 0.05, 3), held(rng, n, 10)
    theta = {1: [-1.0, 2.0, 0.5], 2: [-4.0, -1.0, 2.0, 0.5]}[order]
    y = np.concatenate(
        [
            solution(theta, t[s], u[s], order=order, intersample=intersample)[:, 0]
            for s in (slice(k, k + n // 3) for k in (0, n // 3, 2 * n // 3))
        ]
    )
    y = y + 0.1 * rng.standard_normal(n) + offset
    groups = np.arange(n) // (n // 3)
    return sf.DerivativeRegression(y, t, u, order=order, intersample=intersample, groups=groups)

import numpy as np
import pytest

from smoothfit.dynamics import response
from smoothfit.dynamics.specification import Equation


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

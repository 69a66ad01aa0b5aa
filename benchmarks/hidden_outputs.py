"""How often intervals of equations of several outputs with hidden states cover.

    python benchmarks/hidden_outputs.py [--replications 100] [--size 400] [--plant shared | physical | walls]

Two rooms, observed every hour with noise of SD 0.1, each heated on or off for eight hours at a time. "shared": a wall between them
stores heat, one hidden state; the three states of the fitted form have independent process noises. "physical": the same with
independent noises of the two rooms and of the wall, which are not quite of that form. "walls": each room has a wall of its own, two
hidden states, and all four temperatures have noise. Of nominal 95 % intervals the table gives coverage for the coefficients, poles,
static gains, a step response and the outputs 1, 20 and 100 steps after the sample, and how often no maximum was found or the
posterior was not sampled.
"""

from __future__ import annotations

from typing import NamedTuple

from hidden_states import tabulate

# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.linalg import solve_continuous_lyapunov

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.observer import ObserverForm

Array = NDArray[np.float64]
AHEAD = (1, 20, 100)
TIMES = (2.0, 50.0)  # of the step response
HELD = 8
OUTPUTS, INPUTS = ("room1", "room2"), ("heater1", "heater2")
SHARED = np.array([[-0.6, 0.1, 0.4], [0.05, -0.4, 0.3], [0.05, 0.04, -0.1]])
WALLS = np.array([[-0.7, 0.2, 0.45, 0], [0.15, -0.6, 0, 0.4], [0.06, 0, -0.08, 0], [0, 0.05, 0, -0.07]])
SIGMA = 0.1


class Plant(NamedTuple):
    """Rates between the temperatures, variances of their noises by time, and whether these are of the fitted form's states."""

    rates: Array
    noises: tuple[float, ...]
    of_form: bool


PLANTS = {
    "shared": Plant(SHARED, (4e-4, 4e-4, 2e-5), True),
    "physical": Plant(SHARED, (4e-4, 4e-4, 1e-4), False),
    "walls": Plant(WALLS, (4e-4, 4e-4, 1e-4, 1e-4), False),
}


def fitted_form(rates: Array, heat: Array) -> tuple[ObserverForm, Array, Array]:
    """The equation of the outputs, its coefficients, and what takes the temperatures to its states."""
    n, p = len(rates), len(OUTPUTS)
    order = -(-n // p)
    equation = ObserverForm(order, OUTPUTS, tuple(range(order)), INPUTS, intercept=False, hidden=n - p)
    H = np.eye(p, n)
    while len(H) < n:
        H = np.vstack([H, H[-p:][: n - len(H)] @ rates])
    curves = np.zeros((p, n))
    curves[np.arange(n - p, n) % p] = np.linalg.solve(H.T, (H[n - p :] @ rates).T).T
    theta = equation.of_highest(curves, np.zeros((p, order, len(INPUTS))), np.zeros(p))
    system = equation.matrices(theta)[0]
    own = np.eye(p, n)
    while len(own) < n:
        own = np.vstack([own, own[-p:][: n - len(own)] @ system])
    turn = np.linalg.solve(own, H)
    whole = np.hstack([system, turn @ heat])
    return equation, whole[equation.free], turn


def samples(name: str, n: int, seed: int) -> tuple[Array, Array, Array, Array, ObserverForm, Array]:
    """t, u, the outputs without their noise, with it, the fitted equation and its true coefficients."""
    plant, rng = PLANTS[name], np.random.default_rng(seed)
    m = len(plant.rates)
    heat = np.vstack([np.diag([1.0, 0.8]), np.zeros((m - 2, 2))])
    equation, truth, turn = fitted_form(plant.rates, heat)
    spread = np.diag(plant.noises)
    if plant.of_form:
        back = np.linalg.inv(turn)
        spread = back @ spread @ back.T
    t = np.arange(n, dtype=float)
    u = np.repeat(rng.integers(0, 2, (-(-n // HELD), 2)).astype(float), HELD, axis=0)[:n]
    A, B = signal.cont2discrete((plant.rates, heat, np.eye(m), np.zeros((m, 2))), 1.0, "zoh")[:2]
    whole = solve_continuous_lyapunov(plant.rates, -spread)
    values, axes = np.linalg.eigh(whole - A @ whole @ A.T)
    kicks = rng.standard_normal((n, m)) * np.sqrt(np.maximum(values, 0.0)) @ axes.T
    x = np.zeros((n, m))
    for k in range(1, n):
        x[k] = A @ x[k - 1] + B @ u[k - 1] + kicks[k]
    return t, u, x[:, :2], x[:, :2] + SIGMA * rng.standard_normal((n, 2)), equation, truth


def covered(name: str, n: int, seed: int) -> dict[str, float]:
    """What one sample adds to the columns of the table."""
    import pandas as pd

    t, u, x, y, equation, truth = samples(name, n + max(AHEAD), seed)
    observed, inputs = pd.DataFrame(y, columns=OUTPUTS), pd.DataFrame(u, columns=INPUTS)
    res = sf.DerivativeRegression(observed[:n], t[:n], inputs[:n], hidden=equation.hidden, intercept=False).fit()
    interval = res.conf_int().iloc[: len(truth)].to_numpy()
    found = dict(zip(equation.names, (interval[:, 0] <= truth) & (truth <= interval[:, 1]), strict=True))
    poles = np.sort(np.linalg.eigvals(PLANTS[name].rates).real)[::-1]
    roots = res.modes()
    for i, pole in enumerate(poles):
        if i < len(roots):
            found[f"pole {i + 1}"] = roots["lower(rate)"].iloc[i] <= pole <= roots["upper(rate)"].iloc[i]
    gains = res.gain()
    for i, row in enumerate(response.static_gain(equation, truth)):
        for j, gain in enumerate(row):
            of_pair = gains.loc[f"{OUTPUTS[i]}: {INPUTS[j]}"]
            found[f"gain of {OUTPUTS[i]} by {INPUTS[j]}"] = of_pair["lower"] <= gain <= of_pair["upper"]
    steps = res.step_response(TIMES)
    true_steps = response.step_response(equation, truth, np.array(TIMES))[:, 1, 0]
    low, high = (steps[f"{OUTPUTS[1]}: {INPUTS[0]}"][end].to_numpy() for end in ("lower", "upper"))
    for i, time in enumerate(TIMES):
        found[f"step {time:g}"] = low[i] <= true_steps[i] <= high[i]
    frame = res.forecast(t[n:], inputs[n:])
    for j, output in enumerate(OUTPUTS):
        low, high = frame[output]["mean_ci_lower"].to_numpy(), frame[output]["mean_ci_upper"].to_numpy()
        for k in AHEAD:
            found[f"{output}, {k} ahead"] = low[k - 1] <= x[n + k - 1, j] <= high[k - 1]
    found["integrated"] = res._integrates
    return {key: float(value) for key, value in found.items()}


if __name__ == "__main__":
    tabulate(PLANTS, covered, __doc__)

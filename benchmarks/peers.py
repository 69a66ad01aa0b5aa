"""Slopes, equations and times beside SciPy, statsmodels, csaps, scikit-fda, PyNumDiff and PySINDy.

    python benchmarks/peers.py [slopes times equations structure] [--replications 20]

Each contender is a function of a few lines, which the comparison pages of the documentation show as it is. Errors are root mean
squares over the points and the samples, coverage is that of nominal 95 % intervals, times are those of the processor. The extra
`bench` installs the peers.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from time import process_time

from _timing import machine

# isort: split
import numpy as np
import pandas as pd
import pynumdiff
import pysindy
import skfda
import statsmodels.api as sm
from csaps import csaps
from pynumdiff.optimize import optimize
from scipy.interpolate import UnivariateSpline, make_smoothing_spline
from scipy.signal import savgol_filter
from skfda.preprocessing.smoothing import BasisSmoother
from skfda.preprocessing.smoothing.validation import LinearSmootherGeneralizedCVScorer, SmoothingParameterSearch
from statsmodels.nonparametric.smoothers_lowess import lowess

import smoothfit as sf

SD = 0.1
X = np.linspace(0, 10, 101)
CURVES = {
    "sine": (np.sin, np.cos),
    "peak": (lambda x: 2 * np.exp(-2 * (x - 5) ** 2), lambda x: -8 * (x - 5) * np.exp(-2 * (x - 5) ** 2)),
    "kink": (lambda x: np.abs(x - 5) / 2, lambda x: np.sign(x - 5) / 2),
}


# Slopes: each returns the slopes at x, and half the width of their 95 % intervals or None -----------------------------------


def by_smoothfit(x, y, order=3, method="reml"):
    """Slopes with intervals."""
    res = sf.SmoothingSpline(sf.observe(x, y), order=order).fit(method)
    slope = res.get_prediction(x, deriv=1)
    return slope.predicted_mean, slope.conf_int()


def by_scipy_gcv(x, y):
    """The cubic smoothing spline, its smoothing by GCV."""
    return make_smoothing_spline(x, y).derivative()(x), None


def by_scipy_univariate(x, y):
    """Few knots, the residual sum of squares that of a known noise SD."""
    return UnivariateSpline(x, y, w=np.full(len(x), 1 / SD), s=len(x)).derivative()(x), None


def by_savgol(x, y, window=21):
    """Local cubics in a window of 21 points."""
    return savgol_filter(y, window, polyorder=3, deriv=1, delta=x[1] - x[0]), None


def by_csaps(x, y):
    """A cubic smoothing spline, the smoothing from the spacing alone."""
    return csaps(x, y).spline.derivative()(x), None


def by_lowess(x, y):
    """Differences of LOWESS with a fifth of the points in a window."""
    return np.gradient(lowess(y, x, frac=0.2, return_sorted=False), x), None


def by_statsmodels(x, y):
    """A smooth trend, the discrete form of the cubic smoothing spline."""
    h = x[1] - x[0]
    res = sm.tsa.UnobservedComponents(y, "smooth trend").fit(disp=False)
    slope, se = res.smoothed_state[1] / h, np.sqrt(res.smoothed_state_cov[1, 1]) / h
    return slope, slope[:, None] + 1.96 * se[:, None] * [-1, 1]


def by_scikit_fda(x, y, n_basis=20):
    """Penalised B-splines, the smoothing by GCV on a grid."""
    basis = skfda.representation.basis.BSplineBasis(domain_range=(x[0], x[-1]), n_basis=n_basis, order=6)
    penalty = skfda.misc.regularization.L2Regularization(skfda.misc.operators.LinearDifferentialOperator(3))
    data, grid = skfda.FDataGrid(y, x), np.logspace(-5, 1, 13)
    search = SmoothingParameterSearch(
        BasisSmoother(basis, regularization=penalty), grid, scoring=LinearSmootherGeneralizedCVScorer()
    ).fit(data)
    smoother = BasisSmoother(basis, regularization=penalty, return_basis=True, **search.best_params_)
    return smoother.fit_transform(data).derivative()(x).ravel(), None


def by_pynumdiff(x, y, bandlimit):
    """A Kalman smoother, its ratio of variances by PyNumDiff's search, given the highest frequency of the signal."""
    space = {"order": 2, "forwardbackward": False, "log_qr_ratio": [0.0, 5.0]}
    options, _ = optimize(pynumdiff.rtsdiff, y, x[1] - x[0], bandlimit=bandlimit, search_space_updates=space, parallel=False)
    return pynumdiff.rtsdiff(y, x[1] - x[0], **options)[1], None


def by_total_variation(x, y, bandlimit):
    """Total variation of the second derivative, its penalty by PyNumDiff's search."""
    space = {"order": 2, "gamma": [0.1, 10.0], "huberM": 6.0}
    options, _ = optimize(pynumdiff.tvrdiff, y, x[1] - x[0], bandlimit=bandlimit, search_space_updates=space, parallel=False)
    return pynumdiff.tvrdiff(y, x[1] - x[0], **options)[1], None


def by_differences(x, y):
    """Central differences."""
    return np.gradient(y, x), None


SLOPES: dict[str, Callable] = {
    "smoothfit, order 3": by_smoothfit,
    "smoothfit, order 2": partial(by_smoothfit, order=2),
    "smoothfit, order 2, GCV": partial(by_smoothfit, order=2, method="gcv"),
    "SciPy make_smoothing_spline": by_scipy_gcv,
    "SciPy UnivariateSpline, SD known": by_scipy_univariate,
    "SciPy savgol_filter, window 21": by_savgol,
    "csaps": by_csaps,
    "statsmodels lowess, frac 0.2": by_lowess,
    "statsmodels UnobservedComponents": by_statsmodels,
    "scikit-fda BasisSmoother": by_scikit_fda,
    "PyNumDiff rtsdiff": by_pynumdiff,
    "PyNumDiff tvrdiff": by_total_variation,
    "central differences": by_differences,
}
BANDLIMITS = {"sine": 0.2, "peak": 0.6, "kink": 0.6}  # cycles per unit of x, which PyNumDiff is told
SLOW = {"scikit-fda BasisSmoother": 5, "PyNumDiff rtsdiff": 5, "PyNumDiff tvrdiff": 5}  # samples


def slopes(replications: int) -> pd.DataFrame:
    """Errors of slopes by contender and curve, coverage and time."""
    rows = {}
    for name, estimate in SLOPES.items():
        rows[name] = {}
        covered, seconds = [], []
        for curve, (f, slope) in CURVES.items():
            options = {"bandlimit": BANDLIMITS[curve]} if name.startswith("PyNumDiff") else {}
            squares = []
            for seed in range(min(replications, SLOW.get(name, replications))):
                y = f(X) + SD * np.random.default_rng([seed, 7]).standard_normal(len(X))
                start = process_time()
                found, interval = estimate(X, y, **options)
                seconds.append(process_time() - start)
                squares.append((found - slope(X)) ** 2)
                if interval is not None and curve != "kink":
                    covered.append((interval[:, 0] <= slope(X)) & (slope(X) <= interval[:, 1]))
            rows[name][curve] = np.sqrt(np.mean(squares))
        rows[name]["coverage"] = np.mean(covered) if covered else np.nan
        rows[name]["ms"] = 1000 * np.median(seconds)
    return pd.DataFrame(rows).T


HINDSIGHT: dict[str, list[Callable]] = {
    "SciPy savgol_filter": [partial(by_savgol, window=window) for window in (11, 21, 31, 41, 61)],
    "PyNumDiff rtsdiff": [
        lambda x, y, q=q: (pynumdiff.rtsdiff(y, x[1] - x[0], order=2, log_qr_ratio=q, forwardbackward=False)[1], None)
        for q in range(6)
    ],
    "PyNumDiff tvrdiff": [
        lambda x, y, gamma=gamma: (pynumdiff.tvrdiff(y, x[1] - x[0], order=2, gamma=gamma)[1], None)
        for gamma in (1, 3, 10, 30, 100)
    ],
}


def hindsight(replications: int) -> pd.DataFrame:
    """Errors of slopes at the best of some settings, which takes the truth to know."""
    rows: dict[str, dict[str, float]] = {name: {} for name in HINDSIGHT}
    for name, settings in HINDSIGHT.items():
        for curve, (f, slope) in CURVES.items():
            samples = [f(X) + SD * np.random.default_rng([seed, 7]).standard_normal(len(X)) for seed in range(min(replications, 5))]
            errors = [np.mean([(estimate(X, y)[0] - slope(X)) ** 2 for y in samples]) for estimate in settings]
            rows[name][curve] = np.sqrt(min(errors))
    return pd.DataFrame(rows).T


def times(replications: int) -> pd.DataFrame:
    """Seconds of a fit with slopes at all points, the fastest of three; contenders beyond half a second do not go on."""
    rows: dict[str, dict[int, float]] = {
        name: {} for name in SLOPES if not name.startswith(("PyNumDiff", "central", "statsmodels lowess", "smoothfit, order 2"))
    }
    for n in (1_000, 10_000, 100_000):
        x = np.linspace(0, 10, n)
        y = np.sin(2 * x) + SD * np.random.default_rng(n).standard_normal(n)
        for name, seconds in rows.items():
            if all(spent < 0.5 for spent in seconds.values()):
                seconds[n] = min(_seconds(SLOPES[name], x, y) for _ in range(min(3, replications)))
    return pd.DataFrame(rows).T


def _seconds(work: Callable, *arguments: np.ndarray) -> float:
    start = process_time()
    work(*arguments)
    return process_time() - start


# An equation: y' = -y + 2 u; each returns the coefficients of y and u, and their intervals or None --------------------------


def equation_by_smoothfit(t, y, u):
    """Both noises estimated; the input is linear between samples."""
    res = sf.DerivativeRegression(y, t, u, intercept=False, intersample="foh").fit()
    return res.params.iloc[:2].to_numpy(), res.conf_int().iloc[:2].to_numpy()


def equation_by_pysindy(t, y, u, differentiation=None):
    """Sparse regression on 1, y, u, slopes by differences."""
    model = pysindy.SINDy(
        optimizer=pysindy.STLSQ(threshold=0.1),
        feature_library=pysindy.PolynomialLibrary(degree=1),
        differentiation_method=differentiation or pysindy.FiniteDifference(),
    )
    model.fit(y[:, None], t=t, u=u[:, None])
    return model.coefficients()[0, 1:], None


def equation_by_pysindy_smoothed(t, y, u):
    """The same with slopes of smoothed observations."""
    return equation_by_pysindy(t, y, u, pysindy.SmoothedFiniteDifference())


EQUATIONS: dict[str, Callable] = {
    "smoothfit, kalman": equation_by_smoothfit,
    "PySINDy, FiniteDifference": equation_by_pysindy,
    "PySINDy, SmoothedFiniteDifference": equation_by_pysindy_smoothed,
}


def equation_sample(sd: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """400 samples of y' = -y + 2 u with a smooth input, and noise of measurement."""
    rng, t = np.random.default_rng([seed, 11]), np.arange(400) * 0.05
    phases = {w: rng.uniform(0, 2 * np.pi) for w in (0.3, 0.7, 1.7)}
    u = sum(np.sin(w * t + phase) for w, phase in phases.items())
    y = sum(2 * (np.sin(w * t + phase) - w * np.cos(w * t + phase)) / (1 + w**2) for w, phase in phases.items())
    return t, y + sd * rng.standard_normal(400), u


def equations(replications: int) -> pd.DataFrame:
    """Mean coefficients and root mean square errors by contender and noise."""
    rows = {}
    for sd in (0.01, 0.05, 0.2):
        for name, estimate in EQUATIONS.items():
            found, covered, seconds = [], [], []
            for seed in range(max(replications // 2, 1)):
                start = process_time()
                params, interval = estimate(*equation_sample(sd, seed))
                seconds.append(process_time() - start)
                found.append(params)
                if interval is not None:
                    covered.append((interval[:, 0] <= [-1, 2]) & (interval[:, 1] >= [-1, 2]))
            rows[sd, name] = {
                "y (-1)": np.mean(found, axis=0)[0],
                "u (2)": np.mean(found, axis=0)[1],
                "rms error": np.sqrt(np.mean((np.array(found) - [-1, 2]) ** 2)),
                "coverage": np.mean(covered) if covered else np.nan,
                "ms": 1000 * np.median(seconds),
            }
    return pd.DataFrame(rows).T


def structure(replications: int) -> pd.DataFrame:
    """How often PySINDy finds the four terms of predator and prey among twelve candidates: no contender here does the same."""
    t = np.linspace(0, 20, 1001)
    states = np.empty((1001, 2))
    states[0] = state = np.array([1.0, 0.5])
    for i in range(1000):  # 20 steps of Euler's a sample
        for _ in range(20):
            state = state + 0.001 * np.array([state[0] - state[0] * state[1], state[0] * state[1] - state[1]])
        states[i + 1] = state
    truth = np.zeros((2, 6), dtype=bool)  # 1, a, b, a^2, a b, b^2
    truth[0, [1, 4]] = truth[1, [2, 4]] = True
    rows = {}
    for sd in (0.001, 0.01, 0.05):
        found = []
        for seed in range(replications):
            noisy = states + sd * np.random.default_rng([seed, 13]).standard_normal(states.shape)
            model = pysindy.SINDy(
                optimizer=pysindy.STLSQ(threshold=0.2),
                feature_library=pysindy.PolynomialLibrary(degree=2),
                differentiation_method=pysindy.SmoothedFiniteDifference(),
            )
            model.fit(noisy, t=t)
            found.append(np.array_equal(model.coefficients() != 0, truth))
        rows[sd] = {"right terms": np.mean(found)}
    return pd.DataFrame(rows).T


TABLES: dict[str, tuple[str, Callable[[int], pd.DataFrame]]] = {
    "slopes": (f"RMS errors of slopes, {len(X)} points, noise SD {SD}; coverage over sine and peak", slopes),
    "hindsight": ("The same at the best setting in hindsight", hindsight),
    "times": ("Seconds of a fit with slopes, by number of observations", times),
    "equations": ("y' = -y + 2 u, 400 samples, by noise SD: mean coefficients, RMS error, coverage", equations),
    "structure": ("Fraction of samples in which PySINDy finds the four terms of predator and prey, by noise SD", structure),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=list(TABLES), help=f"some of {', '.join(TABLES)}")
    parser.add_argument("--replications", type=int, default=20)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine(("smoothfit-stats", "scipy", "statsmodels", "csaps", "scikit-fda", "pynumdiff", "pysindy")))
    for name in arguments.tables:
        title, make = TABLES[name]
        print(f"\n{title}\n{make(arguments.replications).round(3).to_string(na_rep='-')}", flush=True)


if __name__ == "__main__":
    main()

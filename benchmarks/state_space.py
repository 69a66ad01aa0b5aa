"""Smoothing splines of order 2 against their peers: time per observation, memory and import time, all in one run.

    python benchmarks/state_space.py [--quick] [--large] [--markdown]

Given parameters (regular x, because statsmodels needs it; bandwidth 30 spacings, where all peers are still accurate):

- statsmodels' local linear trend is the discrete counterpart of the model: the same size of state, the same variances of
  level and slope per step, without their covariance, and an approximately diffuse start.
- csaps and SciPy minimise the same sum of squares with the same lam, and give the curve without variances.

Whole automatic fits (random x): ours from two arrays to the posterior at the nodes; R's smooth.spline with a knot at each
observation and GCV, once as it comes and once with a range of spar wide enough for the minimum at large n; SciPy's and
statsmodels' at the n where they are affordable.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

from _memory import resident, traced
from _timing import Race, Stopwatch, import_times, machine, optional, stopwatch, table

# isort: split
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import make_smoothing_spline

import smoothfit as sf
from smoothfit.markov import kernels
from smoothfit.markov.rows import Rows

ORDER = 2
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SMALL = 1_000  # where SciPy's GCV and statsmodels' maximum likelihood are affordable
NOISE = 0.1
BANDWIDTH = 30.0  # of the fits with given parameters, in spacings
LAM = BANDWIDTH ** (2 * ORDER)  # in units of the spacing, which is one there
SEED = 20240229
SOME, TURNS = 1_000, 9  # curves of which intervals are timed, and how often

FILTER = "ours, log-likelihood"
SMOOTHER = "ours, filter + smoother + variances"
REML, GCV = "ours, REML", "ours, GCV"
SM_FILTER = "statsmodels loglike"
SM_SMOOTH = "statsmodels smooth(params)"
SM_STATES = "statsmodels smooth, states and variances only"
SM_FIT = "statsmodels fit, smooth trend (ML)"
CSAPS = "csaps, fixed lam (no variances)"
SCIPY = "scipy make_smoothing_spline, fixed lam (no variances)"
SCIPY_GCV = "scipy make_smoothing_spline, GCV (no variances)"
R_GCV = "R smooth.spline, all knots, GCV (no variances)"
R_WIDE = "R smooth.spline, the same with spar up to 3"

Array = NDArray[np.float64]


def regular(n: int) -> tuple[Array, Array]:
    """Observations of a sine at 0, 1, ..., n - 1."""
    x = np.arange(float(n))
    return x, _readings(x / (n - 1))


def scattered(n: int) -> tuple[Array, Array]:
    """Observations of a sine at sorted random abscissae on [0, 1]."""
    x = np.sort(np.random.default_rng(SEED + 1).random(n))
    return x, _readings(x)


def _readings(x: Array) -> Array:
    return np.sin(10 * x) + NOISE * np.random.default_rng(SEED).standard_normal(len(x))


# Ours -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Given:
    """Prepared rows and the parameters at which the kernels are called, scaled as the rows are."""

    rows: Rows
    q: float
    sigma2: Array

    @classmethod
    def of(cls, x: Array, y: Array) -> Given:
        rows = sf.SmoothingSpline(sf.observe(x, y), ORDER)._rows
        q = NOISE**2 / LAM / rows.scale.intensity(ORDER)
        return cls(rows, q, np.array([NOISE**2 / rows.scale.of(0) ** 2]))

    def log_likelihood(self) -> kernels.Terms:
        return kernels.terms(self.rows, ORDER, np.array([self.q]), self.sigma2[None])

    def smooth(self) -> tuple[Array, Array]:
        """Packed posterior states, and the variances of f and f'."""
        filtered = kernels.filtered_states(self.rows, ORDER, self.q, self.sigma2)
        posterior = kernels.smoothed_states(self.rows, ORDER, self.q, filtered)
        return posterior, kernels.state_variances(ORDER, posterior)

    def curve(self) -> Array:
        """Posterior mean at the nodes, in the unit of the observations."""
        return self.smooth()[0][:, 0] * self.rows.scale.y_unit + self.rows.scale.y_origin


def whole_fit(x: Array, y: Array, method: str) -> sf.statespace.SmoothingSplineResults:
    """From two arrays to the posterior at the nodes."""
    results = sf.SmoothingSpline(sf.observe(x, y), ORDER).fit(method)
    _ = results.fitted.posterior.smoothed
    return results


# Peers ----------------------------------------------------------------------------------------------------------------


class Statsmodels:
    """The local linear trend with the variances per step that `Given` stands for."""

    PARAMS = NOISE**2 * np.array([1.0, 1 / (3 * LAM), 1 / LAM])

    def __init__(self, y: Array):
        from statsmodels.tsa.statespace import kalman_smoother
        from statsmodels.tsa.statespace.structural import UnobservedComponents

        self.model = UnobservedComponents(y, "local linear trend")
        outputs = kalman_smoother.SMOOTHER_STATE | kalman_smoother.SMOOTHER_STATE_COV
        self.log_likelihood = partial(self.model.loglike, self.PARAMS)
        self.smooth = partial(self.model.smooth, self.PARAMS)
        self.states = partial(self.model.smooth, self.PARAMS, return_ssm=True, smoother_output=outputs)

    @staticmethod
    def fit(y: Array) -> object:
        """Maximum likelihood of the two variances of an integrated random walk, the closest model."""
        from statsmodels.tsa.statespace.structural import UnobservedComponents

        return UnobservedComponents(y, "smooth trend").fit(disp=False)


class RSplines:
    """R's smooth.spline on one set of observations, timed inside R so that its start does not count.

    It searches lam up to the one that belongs to `highest_spar`, by default 1.5.
    """

    SCRIPT = """
        args <- commandArgs(TRUE); n <- as.integer(args[2]); range <- list(high = as.double(args[3]))
        data <- readBin(args[1], "double", 2 * n); x <- data[1:n]; y <- data[n + 1:n]
        automatic <- function(x, y) smooth.spline(x, y, all.knots = TRUE, cv = FALSE, control.spar = range)
        fit <- automatic(x[1:1000], y[1:1000])  # compiles
        turns <- max(1, 1e5 %/% n)
        time <- system.time(for (i in 1:turns) fit <- automatic(x, y))
        cat(time[["elapsed"]] / turns, fit$df, length(fit$x), fit$spar)
    """

    def __init__(self, folder: Path, x: Array, y: Array, highest_spar: float):
        self.highest_spar = highest_spar
        self.data = folder / f"readings_{len(x)}.bin"
        self.n = len(x)
        np.concatenate([x, y]).tofile(self.data)
        self.edf, self.n_knots, self.spar = np.nan, 0, np.nan

    def __call__(self) -> float:
        command = ["Rscript", "--vanilla", "-e", self.SCRIPT, str(self.data), str(self.n), str(self.highest_spar)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        seconds, self.edf, self.n_knots, self.spar = float(answer[0]), float(answer[1]), int(answer[2]), float(answer[3])
        return seconds

    def note(self) -> str:
        bound = ", at that bound, not at the minimum of GCV" if self.spar > self.highest_spar - 1e-3 else ""
        return f"R with spar up to {self.highest_spar:g} edf {self.edf:.4g}{bound}"


# Races ----------------------------------------------------------------------------------------------------------------


def race_given(sizes: Sequence[int]) -> tuple[Race, Race]:
    """Log-likelihood, and smoothing, with given parameters on a regular grid."""
    statsmodels, csaps = optional("statsmodels.api"), optional("csaps")
    likelihood, smoothing = Race(), Race()
    for n in sizes:
        x, y = regular(n)
        ours = Given.of(x, y)
        first, second = {FILTER: ours.log_likelihood}, {SMOOTHER: ours.smooth}
        curve, curves = ours.curve(), {}
        if statsmodels:
            peer = Statsmodels(y)
            first[SM_FILTER] = peer.log_likelihood
            second |= {SM_STATES: peer.states, SM_SMOOTH: peer.smooth}
            curves["statsmodels"] = peer.states().smoothed_state[0]
        if csaps:
            second[CSAPS] = partial(csaps.CubicSmoothingSpline, x, y, smooth=1 / (1 + LAM))
            curves["csaps"] = second[CSAPS]()(x)
        second[SCIPY] = partial(make_smoothing_spline, x, y, lam=LAM)
        curves["scipy"] = second[SCIPY]()(x)
        likelihood.run(n, _timed(first))
        smoothing.run(n, _timed(second))
        distances = (f"{name} {np.abs(other - curve).max() / NOISE:.1g}" for name, other in curves.items())
        smoothing.notes.append(f"n = {n}: greatest distance from our curve, in sd of the noise: {', '.join(distances)}")
    return likelihood, smoothing


def race_fits(sizes: Sequence[int]) -> Race:
    """Whole automatic fits at random x."""
    race = Race()
    has_r = shutil.which("Rscript") is not None
    if not has_r:
        print("(skipped: Rscript is not installed)")
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            x, y = scattered(n)
            ours = {REML: partial(whole_fit, x, y, "reml"), GCV: partial(whole_fit, x, y, "gcv")}
            peers = {name: RSplines(Path(folder), x, y, high) for name, high in ((R_GCV, 1.5), (R_WIDE, 3.0)) if has_r}
            race.run(n, _timed(ours) | peers)
            edf = [f"{name} edf {work().edf:.4g}" for name, work in ours.items()]
            race.notes.append("; ".join([f"n = {n}: {edf[0]}", edf[1], *(peer.note() for peer in peers.values())]))
            if peers and (knots := peers[R_GCV].n_knots) < n:
                race.notes.append(f"n = {n}: R rounded the x to {knots} distinct ones")
    return race


def race_small_fits() -> Race:
    """Whole automatic fits on a regular grid, with the peers that are slow or need it."""
    x, y = regular(SMALL)
    x /= SMALL - 1
    contenders: dict[str, Callable[[], object]] = {
        REML: partial(whole_fit, x, y, "reml"),
        GCV: partial(whole_fit, x, y, "gcv"),
        SCIPY_GCV: partial(make_smoothing_spline, x, y),
    }
    if optional("statsmodels.api"):
        contenders[SM_FIT] = partial(Statsmodels.fit, y)
    race = Race()
    race.run(SMALL, _timed(contenders))
    distance = np.abs(make_smoothing_spline(x, y)(x) - whole_fit(x, y, "gcv").fittedvalues).max() / NOISE
    race.notes.append(f"scipy, greatest distance from our GCV curve: {distance:.1g} sd of the noise")
    more = 10 * SMALL
    for kind, (x, y) in {"random": scattered(more), "regular": regular(more)}.items():
        race.notes.append(f"scipy GCV at n = {more}, {kind} x: {_outcome(partial(make_smoothing_spline, x / x[-1], y))}")
    return race


# Beyond one fit --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What one task took, and the most it may take."""

    what: str
    value: float
    unit: str
    bar: float


def beyond_one_fit(n: int) -> list[Measured]:
    """The fit alone (from two arrays to the certified optimum), draws, streams, and many curves."""
    x, y = scattered(n)
    size = f"n = {_power(n)}"
    fit = stopwatch(lambda: sf.SmoothingSpline(sf.observe(x, y), ORDER).fit(), 3)
    rows = [Measured(f"automatic REML fit without the posterior, {size}", fit() / n * 1e9, "ns an observation", 150)]

    results = sf.SmoothingSpline(sf.observe(x, y), ORDER).fit()
    results.sample(x, rng=0)  # finds the posterior and its nodes
    few, many = (stopwatch(partial(results.sample, x, size=draws, rng=0), 10)() for draws in (1, 5))
    rows.append(Measured(f"a draw at all observations, {size}", (many - few) / 4 / n * 1e9, "ns an observation", 100))

    first = min(1000, n // 2)
    fitted = sf.SmoothingSpline(sf.observe(x[:first], y[:first]), ORDER).fit()

    def block() -> None:
        fitted.online(lag=50).append(x[first:], y[first:])

    rows.append(Measured(f"online.append of a block, {size}", stopwatch(block, 1)() / (n - first) * 1e9, "ns an observation", 50))
    online, count = fitted.online(lag=50), min(20_000, n - first)
    pairs = list(zip(x[first : first + count].tolist(), y[first : first + count].tolist(), strict=True))
    start = perf_counter()
    for at, reading in pairs:
        online.append(at, reading)
    rows.append(Measured("online.append of one observation", (perf_counter() - start) / count * 1e6, "us", 5))

    rng = np.random.default_rng(SEED)
    ages = np.sort(rng.random((10_000, 100)), axis=1)
    heights = np.sin(rng.uniform(2, 12, (10_000, 1)) * ages) + NOISE * rng.standard_normal(ages.shape)
    frame = pd.DataFrame({"id": np.repeat(np.arange(10_000), 100), "age": ages.ravel(), "height": heights.ravel()})

    def fits() -> sf.statespace.CurveFits:
        return sf.fit_curves(frame, by="id", x="age", readings={"height": 0}, order=ORDER, threads=2, progress=False)

    rows.append(Measured("fit_curves, 10^4 series of 100 observations, two threads", stopwatch(lambda: fits().params, 3)(), "s", 2))
    return rows + [row for order in (2, 3) for row in intervals_of_many(frame[: 100 * SOME], order)]


def intervals_of_many(frame: pd.DataFrame, order: int) -> list[Measured]:
    """Processor time of fits of many curves on one thread, without and with intervals at x other than those of the observations."""
    at = np.linspace(0, 1, 100)

    def fits() -> sf.statespace.CurveFits:
        return sf.fit_curves(frame, by="id", x="age", readings={"height": 0}, order=order, threads=1, progress=False)

    alone, both = _timed_in_turn(fits, lambda: fits().predict(at))
    what = f"fit_curves, {SOME} series of 100 observations, order {order}, one thread"
    return [Measured(what, alone, "s", 1), Measured("the same with intervals at 100 x", both / alone, "times", 3)]


def _timed_in_turn(*works: Callable[[], object]) -> list[float]:
    """Processor time of each, the least of several, taken by turns."""
    watches = [stopwatch(work, clock=process_time) for work in works]
    return np.min([[watch() for watch in watches] for _ in range(TURNS)], axis=0).tolist()


def _timed(contenders: dict[str, Callable[[], object]]) -> dict[str, Stopwatch]:
    return {name: stopwatch(work) for name, work in contenders.items()}


def _outcome(work: Callable[[], object]) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            work()
        except Exception as error:  # whatever a peer raises is its answer
            return f"{type(error).__name__}: {error}"
    return f"works, with {caught[0].message}" if caught else "works"


# Memory ---------------------------------------------------------------------------------------------------------------

TASKS = {
    "smoothing, given parameters": lambda x, y: Given.of(x, y).smooth(),
    "whole fit, REML": lambda x, y: whole_fit(x, y, "reml"),
    "whole fit, GCV": lambda x, y: whole_fit(x, y, "gcv"),
    "whole fit, REML, order 4": lambda x, y: sf.SmoothingSpline(sf.observe(x, y), order=4).fit().fittedvalues,
}
MAIN_TASKS = ("smoothing, given parameters", "whole fit, REML", "whole fit, GCV")
LARGE_TASKS = ("whole fit, REML", "whole fit, REML, order 4")
LARGE = 10_000_000


@dataclass(frozen=True)
class Memory:
    """Peak bytes an observation beyond the two input arrays: all of the process, and what tracemalloc sees."""

    resident: float
    traced: float


def peak_memory(n: int, tasks: Sequence[str]) -> dict[str, Memory]:
    """Measure each task in processes of its own."""
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "readings.npy"
        np.save(data, np.array(scattered(n)))
        for task in tasks:
            command = [sys.executable, __file__, "--measure", task, "--data", str(data)]
            resident, traced = (
                float(subprocess.run([*command, "--by", how], check=True, capture_output=True, text=True).stdout)
                for how in ("resident", "traced")
            )
            measured[task] = Memory(resident / n, traced / n)
    return measured


def measure(task: str, data: Path, by: str) -> float:
    """Peak bytes of a task in this process beyond its input, after a small one that loads all it uses."""
    TASKS[task](*scattered(1000))
    x, y = np.load(data)
    with traced() if by == "traced" else resident() as peak:
        TASKS[task](x, y)
    return peak[0]


# Report ---------------------------------------------------------------------------------------------------------------


def times_table(title: str, race: Race, sizes: Sequence[int], markdown: bool) -> str:
    header = ["", *(f"n = {_power(n)}" for n in sizes)]
    rows = [[name, *(_number(race.per_reading(name, n)) for n in sizes)] for name in race.seconds]
    return table(f"{title}: ns an observation", header, rows, markdown)


def ratio_row(what: str, race: Race, ours: str, peer: str, sizes: Sequence[int], bar: int | None) -> list[str]:
    """Fractions of the peer's time, and whether each is within the bar."""
    cells, missed = [], []
    for n in sizes:
        mine, theirs = race.per_reading(ours, n), race.per_reading(peer, n)
        if mine is None or theirs is None:
            cells.append("-")
            continue
        cells.append(f"1/{theirs / mine:.1f}")
        if bar and mine * bar > theirs:
            missed.append(_power(n))
    verdict = "no bar" if bar is None else f"not reached at {', '.join(missed)}" if missed else "reached"
    if all(cell == "-" for cell in cells):
        verdict = "not measured"
    return [what, *cells, f"1/{bar}" if bar else "", verdict]


def value_row(what: str, value: float, unit: str, bar: float, n_sizes: int) -> list[str]:
    """A measured value against its bar, under the largest n."""
    verdict = "not measured" if np.isnan(value) else "reached" if value <= bar else "not reached"
    return [what, *[""] * (n_sizes - 1), f"{value:.3g} {unit}", f"{bar:g} {unit}", verdict]


def _power(n: int) -> str:
    return f"{n:.0e}".replace("e+0", "e")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def main(sizes: Sequence[int], large: bool, markdown: bool) -> None:
    print(machine(["numpy", "scipy", "statsmodels", "csaps"], _r_version()))
    print("times: the fastest of several, ours and the peers by turns\n")

    def show(text: str, notes: Sequence[str] = ()) -> None:
        print(text)
        print("\n" * (markdown and bool(notes)) + "".join(f"- {note}\n" for note in notes), flush=True)

    # First, while this process is small: the greatest resident set of a child starts from that of its parent.
    n_memory = max(sizes[-1], 1_000_000)
    memory = peak_memory(n_memory, MAIN_TASKS)
    rows = [[task, f"{m.resident:.0f}", f"{m.traced:.0f}"] for task, m in memory.items()]
    title = f"Peak memory beyond the input, n = {n_memory}: bytes an observation"
    note = "tracemalloc sees NumPy's arrays, not what the kernels return"
    show(table(title, ["", "max RSS", "tracemalloc"], rows, markdown), [note])
    if large:
        gib = {task: (m.resident + 16) * LARGE / 2**30 for task, m in peak_memory(LARGE, LARGE_TASKS).items()}
        rows = [[task, f"{value:.2f}", "4", "reached" if value <= 4 else "not reached"] for task, value in gib.items()]
        show(table(f"Peak memory with the input, n = {LARGE}: GiB", ["", "max RSS", "bar", "verdict"], rows, markdown))
    import_time, use_time = import_times(["import smoothfit", "from smoothfit import SmoothingSpline, observe"])
    rows = [["import smoothfit", f"{import_time:.3f}"], ["... with its first use of SmoothingSpline", f"{use_time:.3f}"]]
    show(table("Import: seconds beyond a bare interpreter", ["", "s"], rows, markdown))

    likelihood, smoothing = race_given(sizes)
    fits, small = race_fits(sizes), race_small_fits()
    show(times_table("Log-likelihood, given parameters", likelihood, sizes, markdown), likelihood.notes)
    show(times_table("Smoothing, given parameters", smoothing, sizes, markdown), smoothing.notes)
    show(times_table("Whole automatic fit, random x", fits, sizes, markdown), fits.notes)
    show(times_table("Whole automatic fit, regular x", small, [SMALL], markdown), small.notes)

    beyond = [
        [m.what, f"{m.value:.3g} {m.unit}", f"{m.bar:g}", "reached" if m.value <= m.bar else "not reached"]
        for m in beyond_one_fit(n_memory)
    ]
    show(table("Beyond one fit", ["", "", "bar", "verdict"], beyond, markdown))

    rows = [
        ratio_row("log-likelihood / statsmodels", likelihood, FILTER, SM_FILTER, sizes, 20),
        ratio_row("smoothing / statsmodels smooth(params)", smoothing, SMOOTHER, SM_SMOOTH, sizes, 30),
        ratio_row("smoothing / statsmodels, states and variances", smoothing, SMOOTHER, SM_STATES, sizes, 30),
        ratio_row("smoothing / csaps", smoothing, SMOOTHER, CSAPS, sizes, None),
        ratio_row("smoothing / scipy, fixed lam", smoothing, SMOOTHER, SCIPY, sizes, None),
        ratio_row("whole fit, GCV / R", fits, GCV, R_GCV, sizes, 4),
        ratio_row("whole fit, GCV / R, spar up to 3", fits, GCV, R_WIDE, sizes, 4),
        ratio_row("whole fit, REML / R (GCV)", fits, REML, R_GCV, sizes, 4),
        ratio_row("whole fit, GCV / scipy GCV", small, GCV, SCIPY_GCV, sizes, 200),
        ratio_row("whole fit, REML / scipy GCV", small, REML, SCIPY_GCV, sizes, 200),
        ratio_row("whole fit, REML / statsmodels fit", small, REML, SM_FIT, sizes, None),
        *(value_row(f"memory: {task} (RSS)", m.resident, "B", 200, len(sizes)) for task, m in memory.items()),
        value_row("import smoothfit", import_time, "s", 0.15, len(sizes)),
    ]
    header = ["ours / peer", *(f"n = {_power(n)}" for n in sizes), "bar", "verdict"]
    show(
        table("Against the bars", header, rows, markdown),
        [
            "statsmodels smooth(params) also computes disturbances and the covariance of the parameters by default; "
            "the row after it asks for the states and their variances alone"
        ],
    )


def _r_version() -> str:
    if shutil.which("Rscript") is None:
        return "R absent"
    command = ["Rscript", "--vanilla", "-e", "cat(R.version.string)"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only n up to 1e4")
    parser.add_argument("--large", action="store_true", help="also the memory of fits to 1e7 observations")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--measure", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--by", choices=["resident", "traced"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(measure(args.measure, args.data, args.by))
    else:
        main([n for n in SIZES if n <= 10_000] if args.quick else SIZES, args.large, args.markdown)

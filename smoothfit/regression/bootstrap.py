"""New observations from old residuals, and what the fit makes of them.

Where the estimator is linear in the observations, a draw costs one product; where bounds are set, or the loss is not squares, every
draw is fitted anew, in processes if asked for. Each draw has a source of randomness of its own, spawned from one seed: draws depend
neither on the number of processes nor on their order.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._html import html_of
from .._processes import MOST_FAILED, OF_DRAW, in_processes
from .._progress import progress_bar
from .._validation import FloatArray, Frozen, check_choice, check_level, check_memory, check_order, check_rng, frozen
from ..errors import ConvergenceError, SmoothfitError, SpecificationError
from ..results.mixtures import critical_value
from .band import BandRows
from .fit import Fit
from .products import ProductRows
from .quantile import fit_quantile
from .reweighted import reweighted
from .rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("residual", "wild", "block")
HELD = 1e-9  # of the largest standard deviation of draws: a curve that moves by less is held where it is
MOST_DRAWN = 1000
CHUNKS = 8  # for each process
LINEAR_CHUNK = 256  # draws of a product


@entry_point
@dataclass(frozen=True, eq=False, repr=False)
class CurveBootstrap(Frozen):
    """Estimates of f^(deriv) from observations made anew.

    Attributes
    ----------
    estimate : ndarray, shape (m,)
        That of the fit.
    draws : ndarray, shape (size, m)
        Those of the draws, without any that could not be fitted.
    se : ndarray, shape (m,), or None
        Standard errors of the estimate, where intervals are to be studentised.
    draw_se : ndarray, shape (size, m), or None
        Those of the draws.
    n_failed : int
        How many draws could not be fitted.
    limits : ndarray, shape (m, 2), or None
        Bounds on f^(deriv), of a fit under bounds; infinite if there is none.
    free_change : ndarray, shape (size, m), or None
        Draws without bounds, less the estimate without bounds, of a fit by squares under bounds.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 11)
    >>> obs = sf.observe(x, 2 * x + np.where(np.arange(11) % 2, 0.1, -0.1), sd=0.1)
    >>> res = sf.SplineRegression(obs, sf.BSplineBasis([0, 0, 1, 1], degree=1)).fit()
    >>> draws = res.bootstrap([0.0, 0.5, 1.0], size=99, rng=0)
    >>> draws.estimate.round(2), draws.draws.shape
    (array([-0.01,  0.99,  1.99]), (99, 3))
    """

    estimate: FloatArray
    draws: FloatArray
    se: FloatArray | None = None
    draw_se: FloatArray | None = None
    n_failed: int = 0
    limits: FloatArray | None = None
    free_change: FloatArray | None = None

    @property
    def bse(self) -> FloatArray:
        """Standard deviations of the draws, (m,)."""
        return np.asarray(self.draws.std(axis=0, ddof=1))

    @property
    def bias(self) -> FloatArray:
        """Mean of the draws less the estimate, (m,): of a smooth curve about the bias of its penalty."""
        return np.asarray(self.draws.mean(axis=0) - self.estimate)

    def conf_int(self, alpha: float = 0.05, kind: str = "basic") -> FloatArray:
        """Return pointwise intervals of level 1 - alpha, (m, 2).

        Parameters
        ----------
        alpha : float
        kind : {"basic", "percentile", "studentized", "normal"}
            With q the quantiles of the draws and f the estimate: (2 f - q_high, 2 f - q_low), which takes the bias of a penalty off
            once; (q_low, q_high), which has it twice; f - se (quantiles of (draw - f) / draw_se), which needs
            ``bootstrap(..., studentize=True)`` and no bound that holds the curve in a draw; and f - bias -+ z bse. Davison &
            Hinkley (1997), *Bootstrap Methods and their Application*, chapter 5; `scipy.stats.bootstrap` has the first two under
            these names.

        Notes
        -----
        Under bounds no interval ends beyond one: "studentized" and "normal" ones are cut there. Where a bound holds the estimate or
        a draw, the quantiles of the draws end at the bound, and reflected at the estimate they would lie beyond it: the basic
        interval is there f -+ the quantile of abs(change) at level 1 - alpha, and the normal one f -+ z sd(change), of the changes
        that the draws make without bounds (as the standard errors of `get_prediction`), cut at the bound. The percentile interval
        is that of the draws, or where these do not vary the basic one. Of quantile fits the changes are those under bounds.

        Raises
        ------
        SpecificationError
            Another `kind`; studentised intervals without standard errors, or where these are zero.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> obs = sf.observe(x, 2 * x + np.where(np.arange(11) % 2, 0.1, -0.1), sd=0.1)
        >>> res = sf.SplineRegression(obs, sf.BSplineBasis([0, 0, 1, 1], degree=1)).fit()
        >>> res.bootstrap([0.5], size=199, rng=0).conf_int(kind="percentile").round(1)
        array([[0.9, 1.1]])
        """
        level = check_level(alpha)
        ends = self._ends(level, kind)
        if self.limits is None:
            return ends
        if kind != "studentized":
            change = self.draws - self.estimate if self.free_change is None else self.free_change
            z = critical_value(level, np.inf)
            half = z * change.std(axis=0, ddof=1) if kind == "normal" else np.quantile(np.abs(change), 1 - level, axis=0)
            around = np.column_stack([self.estimate - half, self.estimate + half])
            replaced = self._is_held if kind != "percentile" else self._is_held & (np.ptp(ends, axis=1) <= HELD * self._size)
            ends = np.where(replaced[:, None], around, ends)
        return np.clip(ends, self.limits[:, :1], self.limits[:, 1:])

    def plot(self, x: Any, ax: Axes | None = None, alpha: float = 0.05, kind: str = "basic", n_draws: int = 50) -> Axes:
        """Draw the estimate, its interval of level 1 - alpha and some of the draws over x.

        Parameters
        ----------
        x : array_like, shape (m,)
            Where the curve was asked for, increasing.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        alpha, kind
            As of `conf_int`.
        n_draws : int
            The first draws, of which each is a thin line.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        SpecificationError
            `x` has another length than the estimate.

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> obs = sf.observe(x, 2 * x + np.where(np.arange(11) % 2, 0.1, -0.1), sd=0.1)
        >>> draws = sf.SplineRegression(obs, sf.BSplineBasis([0, 0, 1, 1], degree=1)).fit().bootstrap(x, size=99, rng=0)
        >>> ax = draws.plot(x, n_draws=20)
        >>> len(ax.lines)  # 20 draws and the estimate
        21
        >>> plt.close(ax.figure)
        """
        from ..results.drawing import CURVE_COLOUR, add_legend, fill_interval, ink, one_panel

        x = np.asarray(x)
        if x.shape != self.estimate.shape:
            raise SpecificationError(f"x has shape {x.shape} and the estimate {self.estimate.shape}; pass the x of bootstrap(x)")
        ax = one_panel(ax, (8, 4.5))
        ax.plot(x, self.draws[: check_order(n_draws, "n_draws", 0, MOST_DRAWN)].T, color=ink(), alpha=0.15, linewidth=0.6)
        fill_interval(ax, x, self.conf_int(alpha, kind), CURVE_COLOUR, alpha)
        ax.plot(x, self.estimate, color=CURVE_COLOUR, label="estimate")
        ax.margins(x=0)
        add_legend(ax)
        return ax

    def _repr_html_(self) -> str:
        import pandas as pd

        lower, upper = self.conf_int().T
        columns = {"estimate": self.estimate, "bse": self.bse, "bias": self.bias, "[0.025": lower, "0.975]": upper}
        return html_of(repr(self), pd.DataFrame(columns), ["basic intervals, a row for each x"])

    def __repr__(self) -> str:
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return f"CurveBootstrap at {len(self.estimate)} points: {len(self.draws)} draws{failed}"

    @property
    def _size(self) -> float:
        """What draws move by, at the most."""
        return float(max(self.bse.max(), 0.0 if self.free_change is None else self.free_change.std(axis=0).max()))

    @property
    def _is_held(self) -> npt.NDArray[np.bool_]:
        """Where a bound holds the estimate or a draw, (m,)."""
        assert self.limits is not None
        values = np.vstack([self.estimate, self.draws])
        distance = np.minimum(values - self.limits[:, 0], self.limits[:, 1] - values)
        return np.asarray(distance.min(axis=0) <= HELD * self._size)

    def _ends(self, level: float, kind: str) -> FloatArray:
        """Ends of intervals (m, 2) as they are without bounds."""
        tails = (level / 2, 1 - level / 2)
        if kind == "percentile":
            return np.asarray(np.quantile(self.draws, tails, axis=0).T)
        if kind == "basic":
            low, high = np.quantile(self.draws, tails, axis=0)
            return np.column_stack([2 * self.estimate - high, 2 * self.estimate - low])
        if kind == "normal":
            half = critical_value(level, np.inf) * self.bse
            return np.column_stack([self.estimate - self.bias - half, self.estimate - self.bias + half])
        if kind != "studentized":
            raise SpecificationError(f"kind is {kind!r}; pass 'basic', 'percentile', 'studentized' or 'normal'")
        if self.se is None or self.draw_se is None:
            raise SpecificationError("the draws have no standard errors; ask for them: bootstrap(..., studentize=True)")
        change, known = self.draws - self.estimate, self.draw_se <= HELD * self.bse.max()
        if (np.abs(change[known]) > HELD * self.bse.max()).any():
            raise SpecificationError(
                "a bound fixes the curve in some draws, whose standard errors are zero there; use kind='basic'"
            )
        low, high = np.quantile(np.divide(change, self.draw_se, out=np.zeros_like(change), where=~known), tails, axis=0)
        return np.column_stack([self.estimate - high * self.se, self.estimate - low * self.se])


class Draw(NamedTuple):
    """Estimates (m,), their standard errors where they are asked for, and estimates without bounds where there are some."""

    values: FloatArray
    se: FloatArray | None = None
    free: FloatArray | None = None


class Job(NamedTuple):
    """Data sent to a process."""

    fit: Fit
    target: BandRows | ProductRows
    kind: str
    block: int
    studentize: bool
    limits: FloatArray | None


def bootstrap(job: Job, size: int, rng: Any, n_jobs: int, progress: bool) -> CurveBootstrap:
    """Draw estimates; see `SplineRegressionResults.bootstrap`."""
    fit = job.fit
    n_values = job.target.n * (2 if job.studentize else 1)
    check_memory(size * (16.0 * n_values + OF_DRAW), f"a bootstrap of size = {size}", "lower size, or pass fewer x")
    sources = _sources(check_rng(rng), size)
    is_linear = fit.loss == "squares" and fit.bounded is None and not job.studentize
    found: list[Draw | None] = []
    with (
        progress_bar(progress, size, "draw") as advance,
        closing(_linear(job, sources) if is_linear else _refitted(job, sources, size, n_jobs)) as steps,
    ):
        for step in steps:
            found += step
            advance(len(step))
    kept = [draw for draw in found if draw is not None]
    n_failed = size - len(kept)
    if n_failed > MOST_FAILED * size:
        raise ConvergenceError(f"{n_failed} of {size} draws could not be fitted; use another loss, or fewer functions")
    draws = frozen(np.array([draw.values for draw in kept]))  # noqa: PD011 (values of a Draw)
    se: FloatArray | None = None
    draw_se: FloatArray | None = None
    change: FloatArray | None = None
    if job.studentize:
        se, draw_se = frozen(np.sqrt(fit.cov.variance(job.target))), frozen(np.array([draw.se for draw in kept]))
    if _has_free(job):
        change = frozen(np.array([draw.free for draw in kept]) - job.target.times(fit.refined[0]))
    return CurveBootstrap(frozen(job.target.times(fit.coef)), draws, se, draw_se, n_failed, job.limits, change)


def _has_free(job: Job) -> bool:
    """Whether draws are fitted without bounds, too."""
    return job.limits is not None and job.fit.loss != "quantile"


# Draws -----------------------------------------------------------------------------------------------------------------------


def _sources(rng: np.random.Generator, size: int) -> Iterator[np.random.Generator]:
    """The source of randomness of each draw, made when it is needed."""
    try:
        rng.spawn(0)
    except TypeError:  # of a bit generator without a seed sequence
        rng = np.random.default_rng(rng.integers(2**63, size=4))
    for start in range(0, size, LINEAR_CHUNK):
        yield from rng.spawn(min(LINEAR_CHUNK, size - start))


def _linear(job: Job, sources: Iterator[np.random.Generator]) -> Generator[list[Any]]:
    """Draws of an estimator that is linear in the observations: products with A^-1 B'V^-1."""
    fit, rows = job.fit, job.fit.rows
    white = np.concatenate([part.dense(fit.n_coef) for part in rows.white_parts])
    operator = job.target.times(fit.bayesian.times((white / fit.sigma2[rows.group][:, None]).T))
    noise_sd = np.sqrt(fit.sigma2[rows.group])
    standard, estimate = _standard(fit), job.target.times(fit.coef)
    while chunk := list(islice(sources, LINEAR_CHUNK)):
        noise = np.array([_new_noise(fit, standard, job, rng) for rng in chunk])
        change = noise * noise_sd - rows.whitened(fit.resid)  # of the observations
        yield [Draw(values) for values in estimate + change @ operator.T]


def _refitted(job: Job, sources: Iterator[np.random.Generator], size: int, n_jobs: int) -> Generator[list[Any]]:
    """Draws that are fitted one by one."""
    length = 1 if n_jobs == 1 else max(1, min(size // (CHUNKS * n_jobs), LINEAR_CHUNK))
    return in_processes(_drawn, job, iter(lambda: list(islice(sources, length)), []), n_jobs)


def _drawn(job: Job, sources: list[np.random.Generator]) -> list[Any]:
    return [_draw(job, rng) for rng in sources]


def _draw(job: Job, rng: np.random.Generator) -> Draw | None:
    """What a fit to new observations finds; None if there is no fit."""
    fit = job.fit
    rows = _own_rows(fit)
    noise = _new_noise(fit, _standard(fit), job, rng)
    if fit.loss == "squares":
        noise = noise * np.sqrt(fit.sigma2[rows.group])
    y = fit.fittedvalues + rows.colored(noise)
    try:
        again = _fit_again(fit, _with_readings(rows, y))
        se = _standard_errors(again, job.target) if job.studentize else None
        return Draw(job.target.times(again.coef), se, job.target.times(again.refined[0]) if _has_free(job) else None)
    except SmoothfitError:  # counted as failed
        return None


def _standard_errors(fit: Fit, target: BandRows | ProductRows) -> FloatArray:
    """Standard errors (m,), where a variance is unknown with what the draw implies for it."""
    se = np.sqrt(fit.cov.variance(target))
    if fit.rows.unknown and fit.cov_type in ("bayesian", "frequentist"):
        se = se * np.sqrt(float(fit.resid_whitened @ fit.resid_whitened) / fit.df_resid)
    return np.asarray(se)


# Fits -------------------------------------------------------------------------------------------------------------------------


def _own_rows(fit: Fit) -> Rows:
    """The rows without the weights that represent a loss."""
    if fit.loss_weights is None:
        return fit.rows
    return replace(fit.specification.rows, common=fit.rows.common)


def _with_readings(rows: Rows, y: FloatArray) -> Rows:
    observations: Any = rows.observations
    pairs = zip(observations.readings, rows.per_name(y), strict=True)
    parts = tuple(replace(reading, y=frozen(own.copy())) for reading, own in pairs)
    fresh = replace(rows, observations=replace(observations, readings=parts))
    fresh.__dict__["parts"] = rows.parts
    return fresh


def _fit_again(fit: Fit, rows: Rows) -> Fit:
    """The fit to other observations, at the same smoothing and variances."""
    parameter = cast(float, fit.loss_parameter)
    if fit.loss == "quantile":
        lam = fit.lam if len(fit.lam) else None
        return fit_quantile(fit.specification, rows, fit.method, lam, parameter, "bayesian")
    if fit.loss == "squares":
        return _at(fit, rows)
    return reweighted(rows, fit.loss, parameter, lambda weighed: _at(fit, weighed))[0]


def _at(fit: Fit, rows: Rows) -> Fit:
    """The fit by squares to rows at the smoothing and the variances of another."""
    estimate = fit.specification.at_weights(rows, fit.estimate.tau, fit.estimate.log_sigma2)
    bounded, _ = fit.specification.bounded(estimate)
    return Fit(fit.specification, rows, estimate, fit.method, fit.fixed, fit.cov_type, fit.cov_kwds, bounded)


# Noise ------------------------------------------------------------------------------------------------------------------------


def _standard(fit: Fit) -> FloatArray:
    """Residuals (n,) to draw from: of squares independent, of variance one; else over the known part of the noise SD."""
    if fit.loss == "squares":
        standard = fit.resid_standardized
        return np.where(np.isfinite(standard), standard, 0.0)
    return np.asarray(fit.resid / np.sqrt(_own_rows(fit).ratio))


def _new_noise(fit: Fit, standard: FloatArray, job: Job, rng: np.random.Generator) -> FloatArray:
    """Noise (n,) for all observations, name by name in order of x."""
    noise, place = np.empty(len(standard)), np.empty(len(standard))
    place[fit.order] = np.arange(len(standard))
    for part in _own_rows(fit).per_name(np.arange(len(standard), dtype=np.float64)):
        mine = part.astype(np.int64)
        mine = mine[np.argsort(place[mine], kind="stable")]
        noise[mine] = _resampled(standard[mine], fit, job, rng)
    return noise


def _resampled(residuals: FloatArray, fit: Fit, job: Job, rng: np.random.Generator) -> FloatArray:
    n = len(residuals)
    if job.kind == "wild" and fit.loss == "quantile":  # Feng, He & Hu (2011): the quantile of the product is zero, too
        level = cast(float, fit.loss_parameter)
        return np.abs(residuals) * np.where(rng.random(n) < 1 - level, 2 * (1 - level), -2 * level)
    if job.kind == "wild":
        return np.asarray(residuals * rng.choice([-1.0, 1.0], n))
    # What other losses centre is no mean, and is zero as it is.
    centred = residuals - residuals.mean() if fit.loss == "squares" else residuals
    if job.kind == "residual":
        return np.asarray(rng.choice(centred, n))
    length = min(job.block, n)
    starts = rng.integers(0, n - length + 1, -(-n // length))
    return np.asarray(centred[(starts[:, None] + np.arange(length)).ravel()[:n]])


def job_of(
    fit: Fit,
    target: BandRows | ProductRows,
    kind: str,
    block: int,
    studentize: bool,
    limits: FloatArray | None = None,
) -> Job:
    """Check what is drawn."""
    check_choice(kind, "kind", KINDS)
    if kind == "wild" and fit.loss == "expectile":
        raise SpecificationError("random signs change an expectile; pass kind='residual' or 'block'")
    return Job(fit, target, kind, block, studentize, limits)

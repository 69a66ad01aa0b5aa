"""What every method takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..._validation import FloatArray, check_choice
from ...errors import DataError, SpecificationError
from ..covariances import COV_TYPES, ROW_BY_ROW, sandwich_cov
from ..sample import REGULAR, Sample
from ..specification import Equation, derivative_name


@dataclass(frozen=True, eq=False)
class Problem:
    """An equation and the sample from which its coefficients are estimated."""

    equation: Equation
    sample: Sample


class RowScores(NamedTuple):
    """What the rows contribute to sandwich covariances.

    Attributes
    ----------
    scores : ndarray, shape (r, P)
    runs : ndarray of int, shape (r,)
        The run of each row.
    leverage : ndarray, shape (r,), or None
    independent : bool
        Whether neighbouring rows are independent under the method's own assumption, as HC0 to HC3 suppose.
    """

    scores: FloatArray
    runs: npt.NDArray[np.int64]
    leverage: FloatArray | None = None
    independent: bool = True


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a method found.

    Attributes
    ----------
    theta : ndarray, shape (k,)
        Coefficients of the equation.
    cov : ndarray
        Covariance of (theta, noise) by the method's own assumptions; NaN for what has no standard error.
    cov_type : str
        What that covariance is called.
    bread : ndarray or None
        Inverse information (P, P), for sandwich covariances.
    by_row : RowScores, callable or None
        Scores of the rows, or what computes them when they are asked for.
    noise : mapping from str to float
        Estimated noise parameters that stand in params: intensities q and noise SDs.
    q, sigma2 : ndarray
        Intensity by output and noise variance by channel for predictions; zero where the method has none of that kind.
    resid : ndarray, shape (n, p)
        One-step residuals by node; NaN if there is none.
    llf : float
        Log-likelihood; NaN where the method maximises none.
    n_rows : int
        Rows or observations that the estimate uses.
    decrement : float
    boundary : tuple of str
    notes : tuple of str
    way_back : ndarray, shape (k, k), or None
        Takes the coefficients that `bread` and `by_row` are of to theta, where the method worked from other levels of observations
        and inputs.
    extra : mapping
        Results of this method alone.
    """

    theta: FloatArray
    cov: FloatArray
    cov_type: str
    noise: Mapping[str, float]
    q: FloatArray
    sigma2: FloatArray
    resid: FloatArray
    n_rows: int
    bread: FloatArray | None = None
    by_row: RowScores | Callable[[], RowScores] | None = None
    llf: float = np.nan
    decrement: float = 0.0
    boundary: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    way_back: FloatArray | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_noise(self) -> npt.NDArray[np.bool_]:
        """Which of params are noises, (k + noises,)."""
        return np.arange(len(self.theta) + len(self.noise)) >= len(self.theta)

    def row_scores(self) -> RowScores | None:
        """Scores of the rows; None if the method has none."""
        return self.by_row() if callable(self.by_row) else self.by_row

    def covariance(self, cov_type: str | None, **options: Any) -> tuple[str, FloatArray]:
        """The covariance of (theta, noise) of a type, and its name; None for the method's own."""
        if cov_type is None or cov_type == self.cov_type:
            return self.cov_type, self.cov
        check_choice(cov_type, "cov_type", COV_TYPES)
        if cov_type in ("nonrobust", "oim", "eiv", "bootstrap"):
            raise SpecificationError(
                f'cov_type="{cov_type}" is not available for this method; use cov_type="{self.cov_type}", "robust", "HAC", '
                f'"cluster" or "bootstrap"'
            )
        rows = self.row_scores()
        if self.bread is None or rows is None:
            raise SpecificationError(
                f'this method has no scores for cov_type="{cov_type}"; use cov_type="{self.cov_type}" or bootstrap()'
            )
        if cov_type in ROW_BY_ROW and not rows.independent:
            raise SpecificationError(
                f'cov_type="{cov_type}" treats rows as independent, and process noise correlates those of this method; use '
                f'cov_type="{self.cov_type}", "HAC", "cluster" or "bootstrap"'
            )
        part = sandwich_cov(
            self.bread,
            rows.scores,
            cov_type,
            runs=rows.runs,
            leverage=rows.leverage,
            n_params=self.bread.shape[0],
            **options,
        )
        if self.way_back is not None:
            part = turned(part, self.way_back)
        cov = np.full_like(self.cov, np.nan)
        known = np.flatnonzero(np.isfinite(self.cov.diagonal()))[: len(part)]  # noise parameters at a boundary have no scores
        cov[np.ix_(known, known)] = part[: len(known), : len(known)]
        return cov_type, cov


def turned(cov: FloatArray, T: FloatArray) -> FloatArray:
    """The covariance of (T theta, noise) from that of (theta, noise); NaN stays where it is."""
    wide = np.eye(len(cov))
    wide[: len(T), : len(T)] = T
    known = np.isfinite(cov.diagonal())
    result = np.full_like(cov, np.nan)
    inner = np.ix_(known, known)
    result[inner] = wide[inner] @ cov[inner] @ wide[inner].T
    return result


def check_enough(problem: Problem, n_params: int) -> None:
    """Raise if there are fewer observations than constants."""
    needed = n_params + problem.equation.n_states * len(problem.sample.labels)
    if problem.sample.n_readings <= needed:
        raise DataError(
            f"{problem.sample.n_readings} observations are too few for {n_params} parameters and "
            f"{needed - n_params} constants of initial states; more than {needed} are needed"
        )


@dataclass(frozen=True, eq=False)
class Method:
    """An estimator and what it can do.

    Attributes
    ----------
    name : str
    estimate : callable
        ``estimate(problem, **options)`` -> Fitted.
    noise : str
        The noise it assumes, as a clause.
    irregular, missing, vector, rates, replicates, weights, between, input_rates, known, intensities, hidden : bool
        Whether it takes irregular times, missing observations, several outputs, several series and observations of derivatives,
        several observations at one time, given SDs and weights, inputs that change between observations, derivatives of inputs,
        fixed coefficients, priors and bounds, known process noises, hidden states.
    delays : {"", "likelihood", "squares"}
        What it compares delays by, if it estimates them.
    terms : {"", "values", "any"}
        Which non-linear terms it takes: none, functions of y and t, any.
    instead : str
        The method to name where it refuses.
    terms_instead : str
        The method to name where it refuses a term.
    """

    name: str
    estimate: Callable[..., Fitted]
    noise: str
    irregular: bool = False
    missing: bool = False
    vector: bool = False
    rates: bool = False
    replicates: bool = False
    weights: bool = False
    between: bool = False
    input_rates: bool = False
    known: bool = False
    intensities: bool = False
    delays: str = ""
    hidden: bool = False
    terms: str = ""
    instead: str = "kalman"
    terms_instead: str = "output_error"

    def why_not(self, problem: Problem) -> str | None:
        """Why the method refuses a problem, and which one to use; None if it does not."""
        sample, equation = problem.sample, problem.equation
        use = f'use method="{self.instead}"'
        if equation.terms and not self.terms:
            return f'method="{self.name}" supports no nonlinear terms ({equation.terms[0].name}); use method="{self.terms_instead}"'
        if self.terms == "values" and any(term.rates for term in equation.terms):
            name = next(term.name for term in equation.terms if term.rates)
            return f'method="{self.name}" has only terms of y, and {name} uses derivatives; use method="{self.terms_instead}"'
        if equation.hidden and not self.hidden:
            return f'method="{self.name}" has no hidden states; use method="kalman" or "output_error"'
        if equation.input_rates and not self.input_rates:
            j, i = equation.input_rates[0]
            return (
                f'method="{self.name}" has no derivatives of inputs ({derivative_name(equation.inputs[i], j)}); use method="kalman"'
            )
        if equation.stated and not self.known:
            name = equation.names[equation.stated[0]]
            return f'method="{self.name}" takes no fixed=, priors= and bounds= ({name}); use method="kalman" or "output_error"'
        if equation.intensities and not self.intensities:
            name = equation.noise_names[int(np.argmax(equation.is_known_noise))]
            return f'method="{self.name}" takes no known process noise ({name} in fixed=); use method="kalman", or leave it out'
        if equation.n_outputs > 1 and not self.vector:
            return f'method="{self.name}" supports one output and there are {equation.n_outputs}; {use}'
        if not sample.reads_values_only and not self.rates:
            use = f'use method="{self.terms_instead if equation.terms else self.instead}"'
            rate = next((c.name for c in sample.channels if c.deriv > 0), None)
            if rate is not None:
                return f'method="{self.name}" supports observations of y alone, and {rate!r} observes its derivative; {use}'
            names = ", ".join(repr(c.name) for c in sample.channels)
            return (
                f'method="{self.name}" supports one series of observations, and there are {len(sample.channels)} ({names}); {use}'
            )
        given = None if self.weights else sample.first_given
        if given is not None:
            return (
                f'method="{self.name}" does not use sd= or weights=, and {sample.channels[given].name!r} has them; use '
                f'method="{self.terms_instead if equation.terms else self.instead}", or leave them out'
            )
        if sample.acts_between and not self.between:
            return (
                f'method="{self.name}" needs inputs that change where y is observed, and with delay = {sample.delay:g} they change '
                f"between; {use}, or a delay of whole steps"
            )
        if sample.first_replicate is not None and not self.replicates:
            at = sample.abscissa.label_of_number(float(sample.t[sample.first_replicate]))
            return (
                f'method="{self.name}" supports one row for each time, and there are several at {sample.t_name} = {at}; use '
                f'method="{self.terms_instead if equation.terms else "kalman"}", or average them'
            )
        if sample.step is None and not self.irregular:
            off = sample.irregularity
            why = f"these are off by up to {off:.2g} of a step" if off > REGULAR else "runs differ in their spacing"
            return f'method="{self.name}" needs regular times, and {why}; {use}'
        if not self.missing and not np.isfinite(sample.y).all():
            row = int(np.argmax(~np.isfinite(sample.y).all(axis=1)))
            return f'method="{self.name}" supports no missing observations; y is NaN at {sample.t_name} = {sample.t[row]:g}; {use}'
        return None

    def fit(self, problem: Problem, **options: Any) -> Fitted:
        """Estimate, or raise and name a method to use."""
        reason = self.why_not(problem)
        if reason is not None:
            raise SpecificationError(reason)
        return self.estimate(problem, **options)

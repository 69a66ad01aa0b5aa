"""What a fit of a state space model found, and of what."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..markov.bandwidth import Tie
from ..markov.rows import Rows
from ..observations import Observations
from .estimation import Optimum
from .fitting import Variances
from .markov_engine import MarkovEngine
from .markov_posterior import MarkovPosterior
from .robust import Robustness
from .selection import Selection
from .sensor_posterior import posterior_of
from .specification import Specification
from .wiener_engine import WienerEngine
from .wiener_posterior import WienerPosterior


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found, and of what.

    Attributes
    ----------
    engine : WienerEngine or MarkovEngine
        The model of the observations, as a function of what is estimated.
    posterior : WienerPosterior or MarkovPosterior
        The same at the estimates.
    optimum : Variances or Optimum
        What the search returned, in scaled units.
    method : str
    fixed : str or None
        What was given of the smoothing.
    described : str
        The arguments that made the model, as a caller writes them.
    robustness : Robustness or None
    selection : Selection or None
        Interventions that the fit added.
    """

    engine: WienerEngine | MarkovEngine
    posterior: WienerPosterior | MarkovPosterior
    optimum: Variances | Optimum
    method: str
    fixed: str | None
    described: str
    robustness: Robustness | None = None
    selection: Selection | None = None

    @classmethod
    def of_rows(
        cls,
        observations: Observations,
        rows: Rows,
        order: int,
        variances: Variances,
        method: str,
        fixed: str | None,
        tie: Tie | None = None,
        robustness: Robustness | None = None,
    ) -> Fit:
        """A smoothing spline: the unrolled kernels, the fast path."""
        engine = WienerEngine(observations, rows, order, tie)
        posterior = WienerPosterior(observations, rows, order, variances.q, variances.sigma2)
        return cls(engine, posterior, variances, method, fixed, f"order={order}", robustness)

    @classmethod
    def of_specification(
        cls, specification: Specification, optimum: Optimum, described: str, robustness: Robustness | None = None
    ) -> Fit:
        """Any other model."""
        smoothing = None if optimum.smoothing is None else replace(optimum.smoothing, specification=specification)
        engine = MarkovEngine(specification, smoothing)
        posterior = posterior_of(specification, optimum.hyper, optimum.variance)
        return cls(engine, posterior, optimum, optimum.method, optimum.fixed, described, robustness)

    @property
    def held(self) -> tuple[str, ...]:
        """Parameters that the fixed smoothing determines."""
        tied = self.engine.tied
        return () if tied is None else (self.engine.coordinates[tied],)

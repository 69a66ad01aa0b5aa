"""Base of results whose intervals integrate over the estimated parameters."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from .._validation import FloatArray
from ..inference.engine import Engine
from ..inference.marginal import HyperparameterPosterior, at_estimate, integrate
from .mixtures import Mixture, mixture


class Integrated:
    """Results of a model with an engine, at a maximum of its restricted likelihood."""

    @property
    def engine(self) -> Engine[Any, Any]:
        """The model of the observations as a function of what is estimated."""
        raise NotImplementedError

    @property
    def theta_hat(self) -> FloatArray:
        """The estimates as a theta of the engine, within its bounds."""
        raise NotImplementedError

    @property
    def _conditions(self) -> bool:
        """Whether the estimates are taken for known, because no likelihood chose them."""
        return False

    @cached_property
    def parameter_posterior(self) -> HyperparameterPosterior:
        """Posterior of what is estimated, as weighted nodes: what intervals, bands and draws integrate over."""
        return at_estimate(self.engine, self.theta_hat) if self._conditions else integrate(self.engine, self.theta_hat)

    def _law(self, functionals: Any) -> Mixture | None:
        """Law of functionals with the parameters integrated out; None if there is nothing to integrate."""
        posterior = self.parameter_posterior
        if posterior.is_single or not len(functionals):
            return None
        return mixture(posterior, self.engine.moments(posterior.theta, functionals))

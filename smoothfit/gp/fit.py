"""A fitted Gaussian process: what was estimated, and what follows at the estimates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._validation import FloatArray
from .dense import DensePosterior
from .engine import DenseEngine
from .kernels import Kernel
from .markov import MarkovPosterior
from .parameters import Parameters, Values
from .rows import Rows
from .search import Optimum


@dataclass(frozen=True, eq=False)
class Fit:
    """Hyperparameters that were estimated.

    Attributes
    ----------
    rows : Rows
    kernel : Kernel
        As specified, with what is to be estimated open.
    parameters : Parameters
    inputs : tuple of str
    route : str
        ``"dense"`` or ``"state_space"``.
    optimum : Optimum
    estimates : Values
        The hyperparameters, in scaled units.
    information : ndarray, shape (n_free, n_free)
        Observed information of theta with its amplitude.
    posterior : DensePosterior or MarkovPosterior
    """

    rows: Rows
    kernel: Kernel
    parameters: Parameters
    inputs: tuple[str, ...]
    route: str
    optimum: Optimum
    estimates: Values
    information: FloatArray
    posterior: DensePosterior | MarkovPosterior

    @cached_property
    def engine(self) -> DenseEngine:
        """The restricted likelihood and the posterior at other hyperparameters."""
        return DenseEngine(self.rows, self.kernel, self.parameters, self.inputs)

    @property
    def theta_hat(self) -> FloatArray:
        return self.optimum.theta

    @property
    def theta_boundary(self) -> tuple[str, ...]:
        """Names of the entries of `theta_hat` at a bound."""
        at_bound = np.flatnonzero(self.optimum.at_lower | self.optimum.at_upper)
        return tuple(self.engine.names[i] for i in at_bound)

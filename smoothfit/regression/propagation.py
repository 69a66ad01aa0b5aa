"""Fits beside the estimated parameters, for what `results.propagation` adds to the intervals.

The parameters are the logarithms of the penalties' weights tau and of the unknown sds, but for sds at a boundary, which count as
known; their covariance is the inverse of the observed information, H / 2 with H the Hessian of -2 l.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .._validation import FloatArray
from ..results.prediction import ParameterUncertainty
from ..results.propagation import DIFFERENCE, NEGLIGIBLE, propagated
from .band import BandRows, Solution
from .criteria import RestrictedLikelihood
from .fitting import Estimate
from .posterior import covariance_of
from .products import ProductRows

STEEPEST = 2 + 1e-6  # a variance b'A^-1 b grows with an sd as its square at most, with rounding


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Solutions on either side of the estimates.

    Attributes
    ----------
    cov : ndarray, shape (p, p)
        Covariance of the parameters.
    groups : ndarray, shape (p,)
        Variance group of a parameter that is the logarithm of an sd; -1 of a weight.
    above, below : tuple of Solution
        At each parameter plus and minus DIFFERENCE.
    columns : csr_array, shape (K, d), or None
        Coefficients of what they solve for; None where that is all.
    """

    cov: FloatArray
    groups: npt.NDArray[np.int64]
    above: tuple[Solution, ...]
    below: tuple[Solution, ...]
    columns: csr_array | None

    @classmethod
    def of(cls, fit: Estimate, likelihood: type[RestrictedLikelihood], estimated: list[int]) -> Neighbours | None:
        """The neighbours of a fit in all weights and in the sds of the `estimated` groups.

        None where the weights are known so well that they add nothing, and where the information is not positive definite.
        """
        system, P = fit.system, fit.system.n_penalties
        groups = np.array([-1] * P + estimated)
        directions = np.zeros((len(groups), P + system.unknown))
        directions[np.arange(P), np.arange(P)] = 1.0
        directions[np.arange(P, len(groups)), P + groups[P:]] = 2.0  # log sigma2 = 2 log sigma
        criterion = likelihood(system, np.concatenate([fit.log_tau, fit.log_sigma2[: system.unknown]]), directions)
        hessian = criterion.joint_hessian(np.zeros(len(groups)))
        if np.linalg.eigvalsh(hessian).min() <= 0:
            return None
        cov = np.asarray(2 * np.linalg.inv(hessian), dtype=np.float64)
        if np.diag(cov)[:P].max() < NEGLIGIBLE:
            return None
        steps = DIFFERENCE * np.eye(len(groups))
        above, below = (tuple(system.solve(*criterion.logs(sign * step)) for step in steps) for sign in (1, -1))
        return cls(cov, groups, above, below, fit.columns)

    def uncertainty(
        self, rows: BandRows | ProductRows, variance: FloatArray, noise_variance: float, noise_group: int
    ) -> ParameterUncertainty:
        """What the parameters add to rows of a `variance` (n,), and to new readings with the noise of a group."""
        means, logs = np.empty((2, len(self.cov), len(variance)))
        for i, (high, low) in enumerate(zip(self.above, self.below, strict=True)):
            change = high.coef - low.coef
            means[i] = rows.times(change if self.columns is None else self.columns @ change) / (2 * DIFFERENCE)
            more, less = (covariance_of(solution, self.columns).variance(rows) for solution in (high, low))
            known = (more > 0) & (less > 0)
            logs[i] = np.log(np.divide(more, less, out=np.ones_like(more), where=known)) / (2 * DIFFERENCE)
        logs[np.abs(logs) > STEEPEST] = 0.0  # the rounding of a variance of zero, of what equalities fix
        return propagated(self.cov, means, logs, variance, noise_variance, 2.0 * (self.groups == noise_group))

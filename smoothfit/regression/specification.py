"""What a spline regression is before anything is estimated: observations in a basis, penalties and constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from scipy.sparse import block_diag, csr_array, eye_array

from .._validation import FloatArray, described
from ..basis import BSplineBasis, FourierBasis
from ..basis.penalty import Penalty
from ..basis.recombined import RecombinedBasis
from ..basis.tensor import AnyBasis
from ..errors import ConvergenceError, SpecificationError
from ..observations.levels import far_levels_named
from ..observations.points import PointObservations
from .band import BandRows
from .constraints import Constraint, Unimodal, check_constraints
from .correlated import Correlated, Profile, correlated
from .criteria import LIKELIHOODS
from .fitting import Ends, Estimate, at_weights, estimate
from .mode import Peak, best_mode
from .restricted import Bounded, Restrictions, constrained, with_variances
from .rows import Rows
from .sensors import Sensed, SensorProfile, Sensors, sensed
from .system import System, free_last, penalty_roots, terms_of

MOST_STEPS = 50  # until the unknown noise SDs are those of the curve under bounds
STILL = 1e-9  # in the logarithm of a variance


@dataclass(frozen=True, eq=False)
class Specification:
    """Rows of observations, terms of the penalty and constraints; what follows from them is computed once.

    Attributes
    ----------
    rows : Rows
    penalty : Penalty or None
    constraints : tuple of Constraint
    penalties : tuple of Penalty
        Terms of `penalty`, each with a weight of its own.
    restrictions : Restrictions
        The constraints in coefficients.
    unimodal : Unimodal or None
        A constraint whose mode is searched.
    """

    rows: Rows
    penalty: Penalty | None
    constraints: tuple[Constraint, ...]
    penalties: tuple[Penalty, ...]
    restrictions: Restrictions
    unimodal: Unimodal | None

    @classmethod
    def of(cls, rows: Rows, penalty: Penalty | None, constraints: Constraint | Sequence[Constraint]) -> Specification:
        """Check what is to be fitted."""
        checked = check_constraints(constraints)
        penalties = terms_of(penalty)
        restrictions = Restrictions.of(checked, rows.basis, len(rows.extras))
        searched = [own for own in checked if isinstance(own, Unimodal) and own.mode is None]
        if len(searched) > 1:
            raise SpecificationError(
                "two Unimodal constraints have no mode, and one is searched at a time; give mode= to the others"
            )
        if searched and not isinstance(rows.basis, BSplineBasis | RecombinedBasis):
            raise SpecificationError(f"{described(rows.basis)} has no pieces on which a bound could be exact; use B-splines")
        if rows.extras and searched:
            kind, _, name = rows.extras[0].partition(".")
            what = "bias='estimate'" if kind == "bias" else "response_time="
            raise SpecificationError(f"{name!r} has {what}, which Unimodal without mode= does not support; pass mode=")
        made = cls(rows, penalty, checked, tuple(penalties), restrictions, searched[0] if searched else None)
        inputs = rows.observations.inputs if isinstance(rows.observations, PointObservations) else ()
        made.sensors  # noqa: B018  checked now
        made.system.require_identified(rows.basis, None if made.substitution is None else made.substitution[0], inputs)
        return made

    @property
    def basis(self) -> AnyBasis:
        return self.rows.basis

    @cached_property
    def substitution(self) -> tuple[csr_array, FloatArray] | None:
        """Columns and offset of what the equalities leave; of Fourier series with what penalties leave free at the end."""
        if self.restrictions.equalities:
            columns, offset = self.restrictions.substitution()
        elif isinstance(self.basis, FourierBasis) and self.penalties:
            columns, offset = csr_array(eye_array(self.basis.n_basis)), np.zeros(self.basis.n_basis)
        else:
            return None
        if isinstance(self.basis, FourierBasis) and self.penalties:
            columns = csr_array(columns @ free_last(self.penalties, self.basis, columns.toarray()))
        n_extras = len(self.rows.extras)
        return csr_array(block_diag((columns, eye_array(n_extras)))), np.append(offset, np.zeros(n_extras))

    @cached_property
    def roots(self) -> list[BandRows]:
        """Rows M_j of the penalties c'M_j'M_j c, which many fits share."""
        return penalty_roots(self.penalties, self.basis)

    @cached_property
    def system(self) -> System:
        """The system of the coefficients, or of what the equalities leave of them."""
        return self._made(self.rows)

    def system_of(self, rows: Rows) -> System:
        """The system of other rows of the same basis."""
        return self.system if rows is self.rows else self._made(rows)

    def _made(self, rows: Rows) -> System:
        whole = self.whole(rows)
        return whole if self.substitution is None else whole.substituted(*self.substitution)

    def whole(self, rows: Rows) -> System:
        """The system of all coefficients, whatever equalities leave of them."""
        return System.of(rows, self.penalty, self.roots)

    def estimated(
        self,
        rows: Rows,
        method: str,
        lam: FloatArray | None,
        edf: float | None = None,
        near: Ends | None = None,
    ) -> Estimate:
        """Smoothing and variances of rows with known correlations, searched from `near`, `ends` of similar ones, if given."""
        return self.lifted(estimate(self.system_of(rows), method, lam, edf, near))

    def at_weights(self, rows: Rows, tau: FloatArray, log_sigma2: FloatArray) -> Estimate:
        """The fit to rows at given weights of the penalties and variances."""
        return self.lifted(at_weights(self.system_of(rows), tau, log_sigma2))

    def lifted(self, found: Estimate) -> Estimate:
        """An estimate of what the equalities leave, as one of all coefficients."""
        return found if self.substitution is None else found.lifted(*self.substitution)

    def decorrelated(self, rows: Rows, method: str, lam: FloatArray | None) -> tuple[Rows, Correlated | None]:
        """The rows with all parameters of their errors, and what was found of these."""
        if all(kind is None or kind.is_known for kind in rows.errors):
            return rows, None
        likelihood = method if method in LIKELIHOODS else "reml"
        profile = Profile(rows, partial(self.estimated, method=likelihood, lam=lam), LIKELIHOODS[likelihood], lam is not None)
        search = correlated(profile)
        return profile.at(search.minimum.theta), search

    @cached_property
    def sensors(self) -> Sensors | None:
        """Scales, lags and response times of series that are to be estimated."""
        return Sensors.of(self.rows)

    def sensed(self, rows: Rows, method: str, lam: FloatArray | None) -> tuple[Rows, Sensed | None]:
        """The rows at estimated scales, lags and response times, and what was found of these."""
        if self.sensors is None:
            return rows, None
        profile = self.sensor_profile(self.sensors, rows, method, lam)
        with far_levels_named(rows.along_x.readings):
            search = sensed(profile)
        return profile.at(search.minimum.theta), search

    def sensor_profile(self, sensors: Sensors, rows: Rows, method: str, lam: FloatArray | None) -> SensorProfile:
        """-2 log-likelihood of scales, lags and response times, all else at its best."""
        likelihood = method if method in LIKELIHOODS else "reml"
        fit = partial(self.estimated, method=likelihood, lam=lam)
        return SensorProfile(rows, fit, LIKELIHOODS[likelihood], lam is not None, sensors, self.at_weights)

    def bounded(self, found: Estimate, progress: bool = False) -> tuple[Bounded | None, Peak | None]:
        """The fit under bounds, None if there are none, and the mode where that is searched."""
        polynomials = self.restrictions.polynomials
        if self.unimodal is not None:
            assert isinstance(self.basis, BSplineBasis | RecombinedBasis)
            peak = best_mode(found, polynomials, self.unimodal, self.basis, progress)
            return peak.bounded, peak
        return constrained(found, polynomials) if polynomials else None, None

    def settled(self, found: Estimate, method: str, progress: bool = False) -> tuple[Estimate, Bounded | None, Peak | None]:
        """The fit under bounds, the unknown variances being those of the constrained curve, at the smoothing found."""
        for _ in range(MOST_STEPS):
            bounded, peak = self.bounded(found, progress)
            if bounded is None or bounded.held is None or not found.system.unknown:
                return found, bounded, peak
            after = with_variances(bounded.held, method)
            if np.abs(after.log_sigma2 - found.log_sigma2).max() <= STILL:
                return found, bounded, peak
            found = replace(found, log_tau=after.log_tau, log_sigma2=after.log_sigma2, tau=after.tau, boundary=after.boundary)
            if found.system.scale_free:  # neither the curve nor what holds it has moved
                return found, bounded._replace(held=after), peak
        raise ConvergenceError(
            f"noise SDs of the constrained curve have not converged in {MOST_STEPS} steps; give sd= for a series, or loosen a bound"
        )

"""Observations of several series at the same x, whose noise has a covariance, known or to be estimated.

At one x, y = H s + e, Var e = C. With C = L diag(d) L', L unit lower triangular, L^-1 y = L^-1 H s + e' has independent
noise of variances d, and the density of y, since |L| = 1: z_j = y_j - sum_{i<j} L_ji z_i, the same for each column of H.

Of two series whose noise has the correlation r and the variances v_1 and v_2, z_2 = y_2 - r (v_2 / v_1)^(1/2) y_1 has noise of the
variance (1 - r^2) v_2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray, first_index, frozen, to_array
from ..errors import DataError, SpecificationError
from ..observations import Observations
from .functionals import Functionals

SYMMETRIC = 1e-10  # of the SDs: how far halves may differ that a computation of the user's rounded
DEFINITE = 1e-12  # smallest eigenvalue of a correlation matrix: below, a combination of observations counts as exact


@dataclass(frozen=True, eq=False)
class Joint:
    """Series whose observations belong together, one of each at each x.

    Attributes
    ----------
    names : tuple of str
    rows : ndarray of int, shape (n, m)
        Of each observation among the observations.
    covariance : ndarray, shape (n, m, m)
        In the user's units.
    """

    names: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    covariance: FloatArray

    @property
    def is_constant(self) -> bool:
        """Whether the covariance is the same at each x."""
        return bool((self.covariance == self.covariance[:1]).all())

    def among(self, names: tuple[str, ...], rows: npt.NDArray[np.int64]) -> Joint:
        """The same of other observations, of some of the series, if the covariance is constant."""
        mine = [self.names.index(name) for name in names]
        return Joint(names, rows, np.repeat(self.covariance[:1][:, mine][:, :, mine], len(rows), axis=0))

    def scaled(self, units: FloatArray, noise: FloatArray | None = None) -> FloatArray:
        """Covariance of observations in units (n_all,), which their own `noise` does not change."""
        mine = units[self.rows]
        return self.covariance / mine[:, :, None] / mine[:, None, :]

    def whitened(self, units: FloatArray, columns: FloatArray, ratio: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return L^-1 columns (n, m, k), and the variances (n, m), which take the place of those given."""
        root = np.linalg.cholesky(self.scaled(units))
        diagonal = np.diagonal(root, axis1=1, axis2=2)
        L = root / diagonal[:, None, :]
        white = columns.copy()
        for j in range(1, len(self.names)):
            white[:, j] -= np.einsum("ni,nik->nk", L[:, j, :j], white[:, :j])
        return white, diagonal**2


@dataclass(frozen=True, eq=False)
class Correlated:
    """Two series whose observations belong together, one of each at each x, and whose noise has an unknown correlation.

    Attributes
    ----------
    names : tuple of str
    rows : ndarray of int, shape (n, 2)
        Of each observation among the observations.
    correlation : float
        Zero until it is known.
    slope : float
        The correlation times the root of the ratio of the unknown variances, of the second series over the first, scaled.
    """

    names: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    correlation: float = 0.0
    slope: float = 0.0

    @property
    def label(self) -> str:
        """What names both."""
        return ".".join(self.names)

    def among(self, names: tuple[str, ...], rows: npt.NDArray[np.int64]) -> Correlated:
        return replace(self, rows=rows)

    def scaled(self, units: FloatArray, noise: FloatArray) -> FloatArray:
        """Covariance (n, 2, 2) of observations with scaled variances (n_all,)."""
        sd = np.sqrt(noise[self.rows])
        return np.asarray(sd[:, :, None] * sd[:, None, :] * np.array([[1.0, self.correlation], [self.correlation, 1.0]]))

    def whitened(self, units: FloatArray, columns: FloatArray, ratio: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return columns (n, 2, k) of independent combinations, and their variances (n, 2) relative to those of their series."""
        white, left = columns.copy(), ratio.copy()
        white[:, 1] -= self.slope * np.sqrt(ratio[:, 1] / ratio[:, 0])[:, None] * columns[:, 0]
        left[:, 1] *= (1 - self.correlation) * (1 + self.correlation)
        return white, left


def independent(read: Functionals, joint: Sequence[Joint | Correlated], units: FloatArray) -> Functionals:
    """Combinations of observations in units (n,) whose noise is independent; the density of these is that of the observations."""
    process, effects, y, ratio = (column.copy() for column in (read.process, read.effects, read.y, read.ratio))
    for part in joint:
        rows, D = part.rows, process.shape[1]
        columns = np.concatenate([process[rows], effects[rows], y[rows][..., None]], axis=2)
        white, ratio[rows] = part.whitened(units, columns, ratio[rows])
        process[rows], effects[rows], y[rows] = white[..., :D], white[..., D:-1], white[..., -1]
    return replace(read, process=process, effects=effects, y=y, ratio=ratio)


def rows_of(names: Sequence[str], observations: Observations) -> npt.NDArray[np.int64]:
    """Which of the observations those of some series are, which have one at each x (n, m)."""
    first = dict(zip(observations.names, np.cumsum([0, *map(len, observations.readings)]).tolist(), strict=False))
    return np.column_stack([first[name] + np.arange(len(observations[name])) for name in names])


def with_covariances(
    observations: Observations, covariances: Mapping[Any, Any]
) -> tuple[Observations, tuple[Joint | Correlated, ...]]:
    """Check covariances; return the observations with the SDs that these imply, and what is joint.

    Parameters
    ----------
    observations : Observations
    covariances : mapping from tuple of str to array_like, shape (m, m) or (n, m, m), or "estimate"
    """
    readings = {reading.name: reading for reading in observations.readings}
    joint: list[Joint | Correlated] = []
    for names, given in covariances.items():
        is_known = not isinstance(given, str)
        _check_names(names, observations, [name for part in joint for name in part.names], is_known)
        rows = rows_of(names, observations)
        if not is_known:
            _check_estimated(given, names)
            joint.append(Correlated(names, rows))
            continue
        covariance = _checked(given, names, len(rows))
        joint.append(Joint(names, rows, frozen(covariance)))
        for j, name in enumerate(names):
            readings[name] = replace(readings[name], sd=frozen(np.sqrt(covariance[:, j, j])))
    return replace(observations, readings=tuple(readings.values())), tuple(joint)


def _check_estimated(given: str, names: tuple[str, ...]) -> None:
    argument = f"covariances[{names!r}]"
    if given != "estimate":
        raise SpecificationError(f'{argument} is {given!r}; pass a covariance, or "estimate"')
    if len(names) > 2:
        raise SpecificationError(
            f"{argument}: a correlation is estimated between two series; pass a pair, or the covariance of all"
        )


def _check_names(names: Any, observations: Observations, taken: list[str], is_known: bool) -> None:
    argument = f"covariances[{names!r}]"
    if not isinstance(names, tuple) or len(set(names)) < max(2, len(names)):
        raise SpecificationError(f"{argument}: pass a tuple of two or more different names: {{('f', 'slope'): covariance}}")
    for name in names:
        if name not in observations.names:
            raise SpecificationError(f"{argument}: the observations are named {', '.join(observations.names)}")
        if name in taken:
            raise SpecificationError(f"{argument}: {name!r} has a covariance already; give one of all its names")
        reading = observations[name]
        if reading.upper is not None:
            raise SpecificationError(f"{argument}: observations of {reading.label} cannot have a covariance")
        if reading.resolution is not None:
            raise SpecificationError(
                f"{argument} and resolution of {name!r} are given; leave out one: where the steps h are small beside the noise, "
                "add h^2 / 12 to its variance"
            )
        if is_known and (reading.sd is not None or reading.weights is not None):
            raise SpecificationError(
                f"{argument} and {'weights' if reading.sd is None else 'sd'} of {name!r} are given; leave out one"
            )
    check_together(names, observations, argument)


def check_together(names: Sequence[str], observations: Observations, argument: str) -> None:
    """Raise unless series have one observation of each at each x, in one order."""
    x = observations[names[0]].x
    for name in names[1:]:
        other = observations[name].x
        if len(other) != len(x):
            raise DataError(
                f"{argument}: {len(x)} observations of {names[0]!r}, but {len(other)} of {name!r}; each x has one of each: give "
                "observations without a partner a name and an sd= of their own"
            )
        if (other != x).any():
            i, label = first_index(other != x), observations.abscissa.label
            raise DataError(
                f"{argument}: observation {i} of {names[0]!r} is at x = {label(x[i])}, that of {name!r} at {label(other[i])}; "
                "give both in one order, and observations without a partner a name and an sd= of their own"
            )


def _checked(given: Any, names: tuple[str, ...], n: int) -> FloatArray:
    """Covariances (n, m, m), symmetric and positive definite."""
    argument, m = f"covariances[{names!r}]", len(names)
    covariance = np.asarray(to_array(given, argument).values, dtype=np.float64)
    if covariance.shape not in ((m, m), (n, m, m)):
        raise DataError(f"{argument} has shape {covariance.shape}; pass ({m}, {m}), or ({n}, {m}, {m}) for one at each x")
    each = covariance.reshape(-1, m, m)

    def refuse(bad: Any, what: str) -> None:
        if bad.any():
            i = first_index(bad)
            raise DataError(f"{argument}{f'[{i}]' if covariance.ndim == 3 else ''} is {each[i].tolist()}, {what}")

    refuse(~np.isfinite(each).all(axis=(1, 2)), "which is not finite; leave the observations out")
    variances = np.diagonal(each, axis1=1, axis2=2)
    refuse(~(variances > 0).all(axis=1), "whose variances are not all positive")
    sd = np.sqrt(variances)
    correlation = each / sd[:, :, None] / sd[:, None, :]
    transposed = np.swapaxes(correlation, 1, 2)
    refuse((np.abs(correlation - transposed) > SYMMETRIC).any(axis=(1, 2)), "which is not symmetric")
    refuse(
        np.linalg.eigvalsh((correlation + transposed) / 2)[:, 0] < DEFINITE,
        "which is not positive definite: a combination of the observations would be exact; leave out one that the others determine",
    )
    symmetric = (each + np.swapaxes(each, 1, 2)) / 2
    return np.array(np.broadcast_to(symmetric, (n, m, m)))

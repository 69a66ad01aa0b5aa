"""Readings as rows of a design matrix: each the functional that is read, applied to every basis function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array

from .._abscissa import Abscissa
from .._validation import FloatArray
from ..basis import BSplineBasis
from ..basis.base import Basis
from ..basis.recombined import RecombinedBasis
from ..errors import SpecificationError
from ..observations import OF_DIFFERENCE, Observations, Readings, derivative_label
from .band import BandRows, Factor, factorize, factorize_readings, merged, pack


def degree_of(basis: Basis) -> int | None:
    """Degree of the pieces; None where a basis is no spline."""
    if isinstance(basis, RecombinedBasis):
        return basis.parent.degree
    return basis.degree if isinstance(basis, BSplineBasis) else None


def check_degree(basis: Basis, readings: Readings) -> None:
    """Refuse readings of a derivative that all splines of the basis have zero."""
    degree = degree_of(basis)
    if degree is not None and readings.deriv > degree:
        raise SpecificationError(
            f"{readings.name!r} reads {derivative_label(readings.deriv)}, which is zero everywhere for splines of degree {degree}; "
            f"use degree={readings.deriv} or more"
        )


def functional_rows(basis: Basis, readings: Readings, abscissa: Abscissa) -> csr_array:
    """What the readings read, of every basis function: (n, n_basis)."""
    if readings.upper is None:
        check_degree(basis, readings)
        return basis.design(abscissa.to_numbers(readings.x), readings.deriv)
    lower, upper = abscissa.to_numbers(readings.x), abscissa.to_numbers(readings.upper)
    if readings.deriv == OF_DIFFERENCE:
        return csr_array(basis.design(upper) - basis.design(lower))
    rows = basis.integral(lower, upper, sparse=True)
    return csr_array(diags_array(1 / (upper - lower)) @ rows) if readings.mean else rows


class GroupStatistics(NamedTuple):
    """What a fit needs to know of a variance group: its rows' factor, their number, and the mean square of its readings."""

    factor: Factor
    n: int
    spread: float


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of all readings, in the order of the observations.

    Attributes
    ----------
    observations : Observations
    basis : Basis
    common : bool
        Whether all names share one unknown variance, of which the given sds are known multiples.
    """

    observations: Observations
    basis: Basis
    common: bool = False

    def __len__(self) -> int:
        return len(self.observations)

    @cached_property
    def parts(self) -> tuple[BandRows, ...]:
        """Rows of each name."""
        readings, abscissa = self.observations.readings, self.observations.abscissa
        return tuple(pack(functional_rows(self.basis, reading, abscissa)) for reading in readings)

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Names whose variance is unknown; where all share one, the first stands for it."""
        readings = self.observations.readings
        if self.common:
            return (readings[0].name,)
        return tuple(reading.name for reading in readings if reading.sd is None)

    @property
    def has_known(self) -> bool:
        """Whether a name has a known sd."""
        return not self.common and len(self.unknown) < len(self.observations.readings)

    @property
    def n_groups(self) -> int:
        """Number of variances: one for each unknown, and one, which is 1, for all known ones."""
        return len(self.unknown) + self.has_known

    @cached_property
    def group_of_name(self) -> tuple[int, ...]:
        """Variance group of each name."""
        readings = self.observations.readings
        if self.common:
            return (0,) * len(readings)
        return tuple(self.unknown.index(r.name) if r.sd is None else len(self.unknown) for r in readings)

    @cached_property
    def group(self) -> npt.NDArray[np.int64]:
        """Variance group of each reading, (n,)."""
        return np.repeat(np.array(self.group_of_name), [len(reading) for reading in self.observations.readings])

    @cached_property
    def ratio(self) -> FloatArray:
        """Variance of each reading in units of its group's, (n,)."""
        return np.concatenate([reading.variance_ratio for reading in self.observations.readings])

    @property
    def log_ratio(self) -> float:
        """Sum of the logarithms of `ratio`."""
        return float(np.log(self.ratio).sum())

    def statistics(self, w: int) -> list[GroupStatistics]:
        """Factor in a band of width w, count and mean square of each variance group."""
        readings, found = self.observations.readings, []
        for g in range(self.n_groups):
            mine = [i for i, group in enumerate(self.group_of_name) if group == g]
            roots = [1 / np.sqrt(readings[i].variance_ratio) for i in mine]
            y = np.concatenate([readings[i].y * root for i, root in zip(mine, roots, strict=True)])
            factor = merged([self._factor(i, root, w) for i, root in zip(mine, roots, strict=True)])
            centred = [(readings[i].y - readings[i].y.mean()) * root for i, root in zip(mine, roots, strict=True)]
            spread = float(np.mean(np.concatenate(centred) ** 2) or np.mean(y**2))
            found.append(GroupStatistics(factor, len(y), spread))
        return found

    def _factor(self, i: int, root: FloatArray, w: int) -> Factor:
        """Factor of the rows of name i times `root` (n,)."""
        reading = self.observations.readings[i]
        if self._is_streamed(reading):
            assert isinstance(self.basis, BSplineBasis)
            is_plain = reading.sd is None and reading.weights is None
            x = self.observations.abscissa.to_numbers(reading.x)
            return factorize_readings(self.basis, x, reading.y, np.empty(0) if is_plain else root, reading.deriv, w)
        return factorize(self.parts[i].scaled(root), reading.y * root, self.basis.n_basis, w)

    def _is_streamed(self, reading: Readings) -> bool:
        """Whether a kernel takes the readings without any row being stored."""
        return isinstance(self.basis, BSplineBasis) and self.basis.extrapolate == "error" and reading.upper is None

    def log_det_of(self, columns: FloatArray) -> float:
        """log|C'B'B C| for the rows B, in the units of the readings, and columns C."""
        return 2 * float(np.log(np.abs(np.diag(np.linalg.qr(self.times(columns), mode="r")))).sum())

    def __getstate__(self) -> dict[str, object]:
        return {"observations": self.observations, "basis": self.basis, "common": self.common}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)

    def times(self, columns: FloatArray) -> FloatArray:
        """Return the product of all rows with columns (K,) or (K, d)."""
        return np.concatenate([part.times(columns) for part in self.parts])

    def dense(self) -> FloatArray:
        """All rows (n, K)."""
        return np.concatenate([part.dense(self.basis.n_basis) for part in self.parts])

    @property
    def width(self) -> int:
        """Number of stored columns of the widest row."""
        readings, widths = self.observations.readings, []
        for i, reading in enumerate(readings):
            if self._is_streamed(reading):
                check_degree(self.basis, reading)
                widths.append((degree_of(self.basis) or 0) + 1)
            else:
                widths.append(self.parts[i].width)
        return max(widths)

    def per_name(self, values: FloatArray) -> list[FloatArray]:
        """Cut values (n,) name by name."""
        ends = np.cumsum([len(reading) for reading in self.observations.readings])
        return cast("list[FloatArray]", np.split(values, ends[:-1]))

"""Observations as rows of scaled numbers: origins and power-of-two units from the data, so that no user's unit matters.

Inputs are counted from an observation's (the lower median of each) in a power of two near their range, observations in a power of
two near their spread. Changing the units of the user by a power of two, or the origins by a shift without rounding, leaves every
scaled number as it was, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..basis.knots import power_of_two
from ..errors import DataError, IdentificationError, NumericalError, SpecificationError
from ..observations.points import PointObservations, PointReadings
from .kernels import Kernel
from .points import VALUE, check_slopes

MEANS = ("zero", "constant", "linear")
RANK_TOLERANCE = 1e-10  # of a pivot of the mean's design, its columns of length one


@dataclass(frozen=True, eq=False)
class Rows:
    """Scaled observations, sorted by the axis of the slope that they observe (f itself first), in one input then by x.

    Attributes
    ----------
    X : ndarray, shape (n, d)
        (x - x_origin) / x_unit.
    y : ndarray, shape (n,)
        Observations less `y_origin` (those of f), in units of `row_unit`.
    axis : ndarray of int, shape (n,)
        Input along which each row is a slope; -1 for f itself.
    group : ndarray of int, shape (n,)
        Number of the unknown noise SD of each row; -1 if its SD is known.
    ratio : ndarray, shape (n,)
        Noise variance of each row in units of row_unit^2: known, or relative to the unknown variance.
    row_unit : ndarray, shape (n,)
        Unit of each row's observation.
    group_unit : ndarray, shape (n_groups,)
        Unit of each unknown noise SD.
    unknown : tuple of str
        Series with an unknown noise SD.
    design : ndarray, shape (n, p)
        Design of the mean's terms (1, x_1, ..., x_d scaled).
    order : ndarray of int, shape (n,)
        Number of each row among the observations.
    """

    X: FloatArray
    y: FloatArray
    axis: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    ratio: FloatArray
    row_unit: FloatArray
    group_unit: FloatArray
    unknown: tuple[str, ...]
    design: FloatArray
    order: npt.NDArray[np.int64]
    mean: str
    x_origin: FloatArray
    x_unit: FloatArray
    x_range: FloatArray
    y_origin: float
    y_unit: float

    @classmethod
    def of(cls, observations: PointObservations, kernel: Kernel, mean: str) -> Rows:
        """Scale and sort observations."""
        X, y, axis = observations.X, observations.y, observations.axis
        n, d = X.shape
        lengths = kernel.length_scales(d)
        with np.errstate(over="ignore"):
            extent = X.max(axis=0) - X.min(axis=0)
        if not np.isfinite(extent).all():
            j = int(np.argmin(np.isfinite(extent)))
            raise DataError(f"X[:, {j}] has a range that overflows; choose another unit")
        for j in np.flatnonzero(extent == 0).tolist():
            if lengths[j] is None and (kernel.ard or not extent.any()):
                raise DataError(
                    f"X[:, {j}] is {X[0, j]:g} at every observation, its length scale is not identified; drop the input, or "
                    "give its length_scale"
                )
        reference = [e or length or extent.max() for e, length in zip(extent.tolist(), lengths, strict=True)]
        x_unit = np.array([power_of_two(r) for r in reference])
        if not kernel.ard:
            x_unit[:] = x_unit.max()
        x_origin = np.sort(X, axis=0)[(n - 1) // 2]
        values = y[axis == VALUE]
        y_origin = float(np.sort(values)[(len(values) - 1) // 2]) if len(values) and mean != "zero" else 0.0
        with np.errstate(over="ignore"):
            spread = _spread(y - np.where(axis == VALUE, y_origin, 0.0), axis, x_unit, kernel)
        if not 0 < spread < np.inf:
            raise DataError("the range of the observations overflows; choose another unit of y")
        y_unit = power_of_two(spread)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            row_unit = np.where(axis == VALUE, y_unit, y_unit / x_unit[np.maximum(axis, 0)])
            scaled_y = (y - np.where(axis == VALUE, y_origin, 0.0)) / row_unit
        group, ratio, group_unit, unknown = _noise(observations, row_unit)
        if not (np.isfinite(scaled_y).all() and np.isfinite(ratio).all() and np.isfinite(row_unit).all() and row_unit.all()):
            raise DataError(
                f"with inputs of size {x_unit.max():.1e} and observations of size {y_unit:.1e} slopes or noise leave the range of "
                "floating-point numbers; choose other units"
            )
        scaled_X = (X - x_origin) / x_unit
        order = np.argsort(scaled_X[:, 0], kind="stable") if d == 1 else np.arange(n)
        order = order[np.argsort(axis[order], kind="stable")]
        rows = cls(
            X=scaled_X[order],
            y=scaled_y[order],
            axis=axis[order],
            group=group[order],
            ratio=ratio[order],
            row_unit=row_unit[order],
            group_unit=group_unit,
            unknown=unknown,
            design=mean_terms(mean, scaled_X[order], axis[order]),
            order=order,
            mean=mean,
            x_origin=x_origin,
            x_unit=x_unit,
            x_range=extent / x_unit,
            y_origin=y_origin,
            y_unit=y_unit,
        )
        rows.require_identified(observations.inputs)
        _refuse_exact_repetitions(observations)
        return rows

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_terms(self) -> int:
        """Number of the mean's terms, p."""
        return int(self.design.shape[1])

    @property
    def n_contrasts(self) -> int:
        """Number of observations less that of the mean's terms."""
        return len(self) - self.n_terms

    @cached_property
    def blocks(self) -> list[tuple[int, slice]]:
        """Axis of each group of consecutive rows that observe one slope, and its rows."""
        starts = [0, *(np.flatnonzero(np.diff(self.axis)) + 1).tolist()]
        ends = [*starts[1:], len(self)]
        return [(int(self.axis[start]), slice(start, end)) for start, end in zip(starts, ends, strict=True)]

    @cached_property
    def log_units(self) -> float:
        """Log determinant of the change from the user's observations to scaled ones, mean's terms counted in scaled units.

        The restricted likelihood counts densities of n - p contrasts; see `log_det_design`.
        """
        return float(np.log(self.row_unit).sum())

    @cached_property
    def log_det_design(self) -> float:
        """log|H'H| of the observations in the user's units, the terms of the mean in scaled units."""
        if not self.n_terms:
            return 0.0
        user = self.design * (self.row_unit / self.y_unit)[:, None]
        lengths = np.linalg.norm(user, axis=0)
        triangle = np.linalg.qr(user / lengths, mode="r")
        return float(2 * (np.log(np.abs(np.diag(triangle))) + np.log(lengths) + np.log(self.y_unit)).sum())

    def more(self, observations: PointObservations, kernel: Kernel) -> Rows:
        """Rows of other observations in the units of these, with the noise of the same names, sorted by axis."""
        if len(observations.inputs) != len(self.x_unit):
            raise DataError(f"the observations have {len(observations.inputs)} inputs, and those of the fit {len(self.x_unit)}")
        axis = check_slopes(observations, kernel).axis
        unit = np.where(axis == VALUE, self.y_unit, self.y_unit / self.x_unit[np.maximum(axis, 0)])
        group = np.concatenate([np.full(len(r), self._group_of(r)) for r in observations.readings])
        own_unit = np.append(self.group_unit, 1.0)[group]
        ratio = np.concatenate([r.variance_ratio for r in observations.readings]) * (own_unit / unit) ** 2
        X, y = self.to_scaled(observations.X), (observations.y - np.where(axis == VALUE, self.y_origin, 0.0)) / unit
        order = np.argsort(axis, kind="stable")
        return replace(
            self,
            X=X[order],
            y=y[order],
            axis=axis[order],
            group=group[order],
            ratio=ratio[order],
            row_unit=unit[order],
            design=mean_terms(self.mean, X[order], axis[order]),
            order=order,
        )

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        """Some rows, in the same units; in ascending order, so that those of one axis stay together."""
        arrays = ("X", "y", "axis", "group", "ratio", "row_unit", "design", "order")
        some: dict[str, Any] = {name: getattr(self, name)[index] for name in arrays}
        return replace(self, **some)

    def _group_of(self, reading: PointReadings) -> int:
        """Number of the unknown noise SD of observations of a series; -1 where their SD is known."""
        if reading.sd is None and reading.name in self.unknown:
            return self.unknown.index(reading.name)
        if reading.sd is None:
            raise SpecificationError(f"{reading.name!r} has no SD, and the fit estimated none for it; pass sd=, or another name=")
        return -1

    def joined(self, others: Rows) -> Rows:
        """These rows, then others in the same units."""
        arrays = ("X", "y", "axis", "group", "ratio", "row_unit", "design")
        both: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in arrays}
        return replace(self, order=np.append(self.order, len(self) + others.order), **both)

    def in_given_order(self, values: FloatArray) -> FloatArray:
        """Values of the rows in the order of the observations."""
        given = np.empty_like(values)
        given[self.order] = values
        return given

    def noise(self, sigma2: FloatArray) -> FloatArray:
        """Noise variance of each row (..., n) for scaled unknown variances (..., n_groups)."""
        known = np.ones((*sigma2.shape[:-1], 1))
        return np.asarray(self.ratio * np.concatenate([sigma2, known], axis=-1)[..., self.group])

    def to_scaled(self, X: FloatArray) -> FloatArray:
        """Scale points of the user."""
        with np.errstate(over="ignore"):
            scaled = (X - self.x_origin) / self.x_unit
        bad = ~np.isfinite(scaled).all(axis=1)
        if bad.any():
            i = int(np.argmax(bad))
            raise DataError(f"X[{i}] = {X[i].tolist()} is too far from the observations for floating-point numbers")
        return scaled

    def require_identified(self, inputs: tuple[str, ...]) -> None:
        """Raise if the observations leave a term of the mean undetermined."""
        if not self.n_terms:
            return
        lengths = np.linalg.norm(self.design, axis=0)
        labels = ["the level of f", *(f"the slope of the mean along {name}" for name in inputs)]
        remedy = 'add such observations, or use mean="zero"' + (' or "constant"' if self.mean == "linear" else "")
        for term in range(self.n_terms):
            if lengths[term] == 0:
                what = "slopes" if term == 0 else "others"
                raise IdentificationError(f"no observation identifies {labels[term]} (all {len(self)} are of {what}); {remedy}")
        scaled = self.design / lengths
        rest = scaled.copy()
        for term in range(self.n_terms):
            before = rest[:, :term]
            if term:
                rest[:, term] = scaled[:, term] - before @ (before.T @ scaled[:, term])
                rest[:, term] -= before @ (before.T @ rest[:, term])
            size = float(np.linalg.norm(rest[:, term]))
            if size <= RANK_TOLERANCE:
                raise IdentificationError(
                    f"the {len(self)} observations do not separate {labels[term]} from the other terms of the mean; {remedy}"
                )
            rest[:, term] /= size


def mean_terms(mean: str, X: FloatArray, axis: npt.NDArray[np.int64]) -> FloatArray:
    """Design (n, p) of the terms 1, x_1, ..., x_d of the mean, for observations at scaled points X along `axis`."""
    n, d = X.shape
    value = axis == VALUE
    if mean == "zero":
        return np.zeros((n, 0))
    constant = np.where(value, 1.0, 0.0)[:, None]
    if mean == "constant":
        return constant
    slopes = np.where(value[:, None], X, axis[:, None] == np.arange(d))
    return np.hstack([constant, slopes])


def mean_of_box(mean: str, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Integrals of the terms of the mean over a scaled box, shape (p,)."""
    middle = mean_terms(mean, ((lower + upper) / 2)[None], np.array([VALUE]))[0]
    return np.asarray(middle * float(np.prod(upper - lower)))


def _spread(y: FloatArray, axis: npt.NDArray[np.int64], x_unit: FloatArray, kernel: Kernel) -> float:
    """Size of what f does: the spread of its observations, else of its slopes across the inputs, else its given amplitude."""
    sizes = [float(np.abs(y[axis == VALUE]).max(initial=0.0))]
    for j in range(len(x_unit)):
        sizes.append(float(np.abs(y[axis == j]).max(initial=0.0) * x_unit[j]))
    reference = next((size for size in (sizes[0], max(sizes)) if size > 0), 0.0)
    if reference == 0:
        if kernel.amplitude is not None:
            return kernel.amplitude
        raise DataError(
            f"all {len(y)} observations are equal: the amplitude of f is not identified; give the kernel amplitude and length_scale"
        )
    if not np.isfinite(reference):
        return reference
    unit = power_of_two(reference)
    if sizes[0] > 0:
        return float(np.sqrt(np.mean((y[axis == VALUE] / unit) ** 2))) * unit
    return reference


def _noise(
    observations: PointObservations, row_unit: FloatArray
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray, tuple[str, ...]]:
    """Number of the unknown noise SD and scaled variance ratio of each observation, units and names of the unknown noise SDs."""
    group = np.full(len(observations), -1)
    ratio = np.empty(len(observations))
    unknown: list[str] = []
    units: list[float] = []
    start = 0
    for reading in observations.readings:
        mine = slice(start, start + len(reading))
        start += len(reading)
        unit = row_unit[mine]
        with np.errstate(over="ignore", under="ignore"):
            if reading.sd is None:
                group[mine] = len(unknown)
                unknown.append(reading.name)
                units.append(float(unit[0]))
                ratio[mine] = reading.variance_ratio * (unit[0] / unit) ** 2
            else:
                ratio[mine] = (reading.sd / unit) ** 2
                if reading.weights is not None:
                    ratio[mine] /= reading.weights
                lost = (ratio[mine] == 0) & (reading.sd > 0)
                if lost.any():
                    raise NumericalError(
                        f"the SD of {reading.name!r} is too small beside the observations for floating-point numbers; pass sd=0 if "
                        "they are exact"
                    )
    return group, ratio, np.array(units), tuple(unknown)


def _refuse_exact_repetitions(observations: PointObservations) -> None:
    """Raise if two exact observations are of one thing at one point: their covariance is singular whatever the kernel."""
    sds = [np.full(len(r), np.nan) if r.sd is None else r.sd for r in observations.readings]
    exact = np.flatnonzero(np.concatenate(sds) == 0)
    what = np.column_stack([observations.X[exact], observations.axis[exact]])
    _, first, inverse = np.unique(what, axis=0, return_index=True, return_inverse=True)
    repeated = first[inverse.ravel()] != np.arange(len(exact))
    if repeated.any():
        k = int(np.argmax(repeated))
        i, j = exact[first[inverse.ravel()[k]]], exact[k]
        raise DataError(
            f"y[{i}] and y[{j}] are two exact observations (sd=0) at X = {observations.X[j].tolist()}; merge them, "
            "or give a noise SD"
        )

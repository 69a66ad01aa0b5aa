"""Observed functionals of every function of a basis: values, derivatives, integrals, means and differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array

from .._validation import FloatArray, first_index
from ..basis import BSplineBasis, FourierBasis
from ..basis.base import Basis
from ..basis.recombined import RecombinedBasis
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import DataError, SpecificationError
from ..observations import OF_DIFFERENCE, Observations, Readings, derivative_label
from ..observations.abscissa import Abscissa
from ..observations.points import PointObservations, PointReadings, partial_label
from .band import BandRows, pack
from .products import ProductRows, rows_at, rows_over


def degree_of(basis: AnyBasis) -> int | None:
    """Degree of the pieces; None if a basis is no spline, or of several variables."""
    if isinstance(basis, RecombinedBasis):
        return basis.parent.degree
    return basis.degree if isinstance(basis, BSplineBasis) else None


def check_degree(basis: Basis, readings: Readings) -> None:
    """Refuse observations of a derivative that all splines of the basis have zero."""
    degree = degree_of(basis)
    if degree is not None and readings.deriv > degree:
        raise SpecificationError(
            f"{readings.name!r} observes {derivative_label(readings.deriv)}, which is zero for splines of degree {degree}; "
            f"use degree={readings.deriv} or more"
        )


def closed_domain(basis: Basis) -> tuple[float, float] | None:
    """Ends beyond which a basis has no values; None if it has some everywhere."""
    is_open = isinstance(basis, FourierBasis) or getattr(basis, "extrapolate", "error") != "error"
    return None if is_open else basis.domain


def outside_lagged(basis: Basis, x: FloatArray, lags: FloatArray) -> npt.NDArray[np.bool_]:
    """At which x (n,) a basis has no values once one of the lags (L,) is subtracted."""
    first, last = closed_domain(basis) or (-np.inf, np.inf)
    return np.asarray((x - lags.max() < first) | (x - lags.min() > last))


def check_lagged(basis: Basis, abscissa: Abscissa, x: FloatArray, lags: FloatArray, name: str) -> None:
    """Refuse x (n,) at which a basis without extrapolation has no values once one of the lags (L,) is subtracted."""
    outside, ends = outside_lagged(basis, x, lags), closed_domain(basis)
    if ends is not None and outside.any():
        i, shortest, longest = first_index(outside), float(lags.min()), float(lags.max())
        step = 10.0 ** (np.floor(np.log10(ends[1] - ends[0])) - 3)  # to which labels of what is possible are rounded, inwards
        possible = np.ceil((ends[0] + longest) / step) * step, np.floor((ends[1] + shortest) / step) * step
        at, first, last, start, end = (abscissa.label_of_number(float(number)) for number in (x[i], *ends, *possible))
        unit = f" {abscissa.unit}" if abscissa.unit else ""
        lag = f"{longest:.4g}{unit}" if shortest == longest else f"between {shortest:.4g} and {longest:.4g}{unit}"
        raise DataError(
            f"x[{i}] = {at} less the lag of {name!r}, which may be {lag}, is outside the domain of the basis, {first} to {last}; "
            f"pass x from {start} to {end}, or widen the knots"
        )


def check_dates(basis: AnyBasis, abscissa: Abscissa, x: FloatArray, argument: str, of: str = "") -> None:
    """Refuse dates, which are numbers x (n,) to the basis, at which it has no values; it names numbers that are given by itself."""
    ends = closed_domain(basis) if abscissa.kind == "datetime" and isinstance(basis, Basis) else None
    if ends is not None and (outside := (x < ends[0]) | (x > ends[1])).any():
        i = first_index(outside)
        at, first, last = (abscissa.label_of_number(float(number)) for number in (x[i], *ends))
        unit = f" in units of {abscissa.unit}" if abscissa.unit else ""
        raise DataError(
            f"{argument}[{i}]{of} is {at}, outside the domain of the basis, {first} to {last} ([{ends[0]:g}, {ends[1]:g}]{unit}, "
            f"zero being {abscissa.origin_label}); widen the knots or choose extrapolate="
        )


def functional_rows(basis: Basis, readings: Readings, abscissa: Abscissa, lag: float = 0.0) -> csr_array:
    """Observed functionals of every basis function, at x less a lag: (n, n_basis)."""
    if readings.upper is None:
        check_degree(basis, readings)
        return basis.design(abscissa.to_numbers(readings.x) - lag, readings.deriv)
    lower, upper = abscissa.to_numbers(readings.x) - lag, abscissa.to_numbers(readings.upper) - lag
    if readings.deriv == OF_DIFFERENCE:
        return csr_array(basis.design(upper) - basis.design(lower))
    rows = basis.integral(lower, upper, sparse=True)
    return csr_array(diags_array(1 / (upper - lower)) @ rows) if readings.mean else rows


def check_degrees(basis: TensorProductBasis, orders: Sequence[int], what: str, inputs: Sequence[str]) -> None:
    """Refuse a partial derivative that all splines of the basis have zero."""
    for label, factor, k in zip(inputs, basis.factors, orders, strict=True):
        degree = degree_of(factor)
        if degree is not None and k > degree:
            raise SpecificationError(
                f"{what}, which is zero everywhere for splines of degree {degree} in {label}; use degree={k} or more there"
            )


def product_rows(basis: TensorProductBasis, readings: PointReadings, inputs: Sequence[str]) -> ProductRows:
    """Observed functionals of every product of basis functions."""
    if readings.upper is None:
        for orders in readings.orders:
            check_degrees(basis, orders, f"{readings.name!r} observes {partial_label(inputs, orders)}", inputs)
        return rows_at(basis, readings.X, readings.deriv)
    rows = rows_over(basis, readings.X, readings.upper)
    return rows.scaled(1 / np.prod(readings.upper - readings.X, axis=1)) if readings.mean else rows


def rows_of_reading(
    basis: AnyBasis, reading: Any, observations: Observations | PointObservations, lag: float = 0.0
) -> BandRows | ProductRows:
    """Observed functionals of a series, of every basis function; x counts as in `observations`."""
    if isinstance(basis, TensorProductBasis):
        assert isinstance(observations, PointObservations)
        return product_rows(basis, reading, observations.inputs)
    assert isinstance(observations, Observations)
    return pack(functional_rows(basis, reading, observations.abscissa, lag))

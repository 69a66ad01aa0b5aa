"""Posterior of a Gaussian process in the units of the user: moments, covariances, leverages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .._validation import FloatArray
from .lanes import Lanes
from .rows import Rows
from .terms import Axes, axes_of


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of f at points: `entries` of axes at each, () for f, (j,) for slopes, (i, j) for entries of Hessians."""

    X: FloatArray  # (m, d), in the user's units
    entries: list[Axes]

    def __len__(self) -> int:
        """How many numbers they are: those of a point together."""
        return len(self.X) * len(self.entries)

    def moments(self, lanes: Lanes, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Means and variances (L, n)."""
        unit = _units(rows, self.entries)
        mean, variance = lanes.moments(rows.to_scaled(self.X), self.entries)
        shape = (len(mean), len(self))
        return (mean * unit + _origins(rows, self.entries)).reshape(shape), (variance * unit**2).reshape(shape)


@dataclass(frozen=True)
class Box:
    """The integral of f over the box from lower (d,) to upper (d,), in the user's units, lower <= upper."""

    lower: FloatArray
    upper: FloatArray

    def __len__(self) -> int:
        return 1

    def moments(self, lanes: Lanes, rows: Rows) -> tuple[FloatArray, FloatArray]:
        unit, shift = self.units(rows)
        mean, variance = lanes.over_box(*self.scaled(rows))
        return mean * unit + shift, variance * unit**2

    def scaled(self, rows: Rows) -> FloatArray:
        """Both corners (2, d) in scaled units."""
        return rows.to_scaled(np.array([self.lower, self.upper]))

    def units(self, rows: Rows) -> tuple[float, float]:
        """The unit of the integral, and that of the origin of y."""
        return rows.y_unit * float(np.prod(rows.x_unit)), rows.y_origin * float(np.prod(self.upper - self.lower))


class Posterior(Protocol):
    """Posterior of f and of its derivatives at given hyperparameters, in scaled units."""

    def moments(self, X: FloatArray, entries: list[Axes]) -> tuple[FloatArray, FloatArray]:
        """Means (m, e) at scaled points X and covariances (m, e, e) between the entries of each point."""

    def joint(self, X: FloatArray, entries: list[Axes]) -> FloatArray:
        """Covariances (m e, m e) between all entries at all points, the entries of a point together."""


def moments_of(posterior: Posterior, rows: Rows, asked: Derivatives) -> tuple[FloatArray, FloatArray]:
    """Means (m, e) of derivatives at points and covariances (m, e, e) between those of each point."""
    unit = _units(rows, asked.entries)
    mean, cov = posterior.moments(rows.to_scaled(asked.X), asked.entries)
    return mean * unit + _origins(rows, asked.entries), cov * np.outer(unit, unit)


def covariance_of(posterior: Posterior, rows: Rows, asked: Derivatives) -> FloatArray:
    """Covariances (m e, m e) between derivatives at all points, those of a point together."""
    unit = np.tile(_units(rows, asked.entries), len(asked.X))
    return np.asarray(posterior.joint(rows.to_scaled(asked.X), asked.entries) * unit[:, None] * unit)


def leverages_of(posterior: Posterior, rows: Rows, sigma2: FloatArray) -> FloatArray:
    """Diagonal of the smoother matrix (n,) in the order of the observations, at scaled unknown variances (n_groups,)."""
    noise, variance = rows.noise(sigma2), np.empty(len(rows))
    for axis, mine in rows.blocks:
        variance[mine] = posterior.moments(rows.X[mine], [axes_of(axis)])[1][:, 0, 0]
    return rows.in_given_order(np.where(noise > 0, variance / np.where(noise > 0, noise, 1.0), 1.0))


def root_of(cov: FloatArray) -> FloatArray:
    """A square root of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(cov)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))  # below zero is rounding


def _units(rows: Rows, entries: list[Axes]) -> FloatArray:
    return np.array([rows.y_unit / float(np.prod(rows.x_unit[list(A)])) for A in entries])


def _origins(rows: Rows, entries: list[Axes]) -> FloatArray:
    return np.array([0.0 if A else rows.y_origin for A in entries])

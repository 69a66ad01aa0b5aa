"""Nodes of the trapezoidal rule: a lattice that grows from the mode of a density, by the method of the docstring of `marginal`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from scipy import special

from .._entry import warn
from .._validation import FloatArray
from ..errors import IntegrationWarning, NumericalError
from .nodes import CUT, NEGLIGIBLE, Density, Integers, Nodes, Shape, filled, normalised, scan, shape_of
from .stretched import Stretched, high_ends

STEP = 0.75  # of the first lattice, in standard deviations: intervals are then right to 0.2 % of their half-width
AGREE = 0.1  # of sublattices of twice the step, in weight and in means by SDs; the lattice is then right to the square of this
HALVINGS = 5
MOST_NODES = 10_000
SEEDED = 0.5  # of the cut, to which a lattice is filled before it grows
REACH = 4  # nodes by which a lattice of one variable grows at a time, on either side


class Lattice:
    """Log densities at origin + steps @ k for integer vectors k, as far as they were asked for."""

    def __init__(self, density: Density, origin: FloatArray, steps: FloatArray):
        self.density, self.origin, self.steps = density, origin, steps
        self.values: dict[tuple[int, ...], float] = {}
        self.highest = -np.inf
        p = len(origin)
        reach = REACH if p == 1 else 1
        self.around = np.array([k for k in itertools.product(range(-reach, reach + 1), repeat=p) if any(k)])

    def at(self, nodes: Integers) -> FloatArray:
        """Points of the space."""
        return self.origin + nodes @ self.steps.T

    def grow(self, seeds: Iterable[tuple[int, ...]]) -> None:
        """Evaluate the seeds, and about every node of more than the cut its neighbours."""
        new = set(seeds) - self.values.keys()
        edge: set[tuple[int, ...]] = set(self.values)
        while new or edge:
            if new:
                nodes = sorted(new)
                values = self.density(self.at(np.array(nodes)))
                self.values.update(zip(nodes, values.tolist(), strict=True))
                self.highest = max(self.highest, float(filled(values).max()))
            cut = self.highest - CUT
            edge |= new
            high = [k for k in edge if self.values[k] > cut]
            beside = np.array(high, np.int64).reshape(-1, 1, len(self.origin)) + self.around
            new = set(map(tuple, beside.reshape(-1, len(self.origin)).tolist())) - self.values.keys()
            edge = set()
            if len(self.values) > MOST_NODES:
                return

    def within(self, shape: Shape, fall: float) -> list[tuple[int, ...]]:
        """Nodes within which a normal density of the shape falls by so much, its mode being the origin."""
        widths = np.linalg.norm(self.steps, axis=0) / shape.sd  # of a step, in standard deviations below and above
        most = np.sqrt(2 * fall)
        ranges = [np.arange(-int(most / below), int(most / above) + 1) for below, above in widths.T]
        nodes = np.array(list(itertools.product(*ranges)))
        distance2 = np.sum((nodes * np.where(nodes < 0, *widths)) ** 2, axis=1)
        return [tuple(k) for k in nodes[distance2 <= 2 * fall].tolist()]

    def high(self) -> tuple[Integers, FloatArray]:
        """Nodes of more than the cut, in order, with their log densities."""
        nodes = np.array(sorted(self.values))
        values = filled(np.array([self.values[tuple(k)] for k in nodes.tolist()]))
        kept = values > values.max() - CUT
        self._check_gaps(nodes[kept], values[kept])
        return nodes[kept], values[kept]

    def _check_gaps(self, high: Integers, logs: FloatArray) -> None:
        """Refuse nodes without a likelihood that lie on an axis between others, if their weight between these matters.

        Far from the mode, where a covariance is singular to rounding, rounding decides which nodes have a likelihood.
        """
        weights = normalised(logs)
        missed: dict[tuple[int, ...], float] = {}
        for k in [k for k, value in self.values.items() if np.isnan(value)]:
            beside = high - k
            for i in range(len(k)):
                mine = np.flatnonzero(np.all(np.delete(beside, i, axis=1) == 0, axis=1))
                along = beside[mine, i]
                if len(along) and along.min() < 0 < along.max():
                    nearest = [mine[side][np.argmin(np.abs(along[side]))] for side in (along < 0, along > 0)]
                    missed[k] = max(missed.get(k, 0.0), float(np.sqrt(weights[nearest].prod())))  # as on a line of logs
        if sum(missed.values()) > NEGLIGIBLE:
            where = self.density.theta(self.at(np.array(max(missed, key=missed.__getitem__)))).tolist()
            raise NumericalError(
                f"the likelihood cannot be computed at theta = {where}, between points where it is high: "
                "give some of the parameters, or check the observations for values of very different sizes"
            )

    def halve(self) -> None:
        """Halve the steps; what is known stays known."""
        self.steps = self.steps / 2
        self.values = {tuple(2 * i for i in k): value for k, value in self.values.items()}


def agrees(nodes: Integers, weights: FloatArray) -> bool:
    """Whether the sublattices of twice the step have the same weight and, by standard deviations, the same means."""
    n_sublattices = 2 ** nodes.shape[1]
    mean = weights @ nodes
    deviation = nodes - mean
    sd = np.sqrt(weights @ deviation**2)
    for parity in itertools.product((0, 1), repeat=nodes.shape[1]):
        mine = np.all(nodes % 2 == parity, axis=1)
        share = weights[mine].sum()
        if abs(n_sublattices * share - 1) > AGREE or np.any(np.abs(weights[mine] @ deviation[mine]) > AGREE * share * sd):
            return False
    return True


def lattice_nodes(density: Density, start: FloatArray) -> Nodes:
    """Nodes of the trapezoidal rule."""
    points, values = scan(Density(density.highest, density.lower, density.upper), start)
    ends = high_ends(density, points, values)
    if ends.any():
        stretched = Stretched(density, ends)
        first, points = stretched.inside(points[np.argmax(values)]), stretched.coordinates(points)
        found = _lattice_about(stretched.density, first, points, values + stretched.log_slope(points))
        return stretched.restored(found)
    return _lattice_about(density, points[np.argmax(values)], points, values)


def _lattice_about(density: Density, start: FloatArray, points: FloatArray, values: FloatArray) -> Nodes:
    """Nodes of a lattice about the mode near `start` (p,) and about all known points (L, p) of high density, given bounds of it."""
    shape = shape_of(density, start)
    lattice = Lattice(density, shape.mode, shape.axes * (STEP * np.sqrt(shape.sd[0] * shape.sd[1])))
    for halving in range(HALVINGS + 1):
        if halving:
            lattice.halve()
        lattice.grow(lattice.within(shape, SEEDED * CUT))
        cut = lattice.highest - CUT
        inside = np.linalg.solve(lattice.steps, (points[values > cut] - lattice.origin).T).T
        lattice.grow([tuple(k) for k in np.rint(inside).astype(int).tolist()])
        nodes, logs = lattice.high()
        weights = normalised(logs)
        found = Nodes(lattice.at(nodes), weights, logs, float(special.logsumexp(logs) + np.linalg.slogdet(lattice.steps)[1]))
        if agrees(nodes, weights):
            return found
        if len(lattice.values) > MOST_NODES:
            break
    warn(
        f"the posterior of what is estimated is rough: {len(nodes)} nodes of a lattice represent it poorly; "
        "fix some of the parameters or check the data",
        IntegrationWarning,
    )
    return found

"""What the general engine computes of a mean and of sudden changes, by the adjoint of its filter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .._validation import FloatArray
from ..markov.functionals import VALUE
from ..markov.priors import IntegratedWiener, Jump
from ..markov.program import Adjoint
from ..observations.abscissa import Points
from ..observations.readings import OF_INTEGRAL
from ..results.protocols import Change
from .specification import Specification
from .spline import Pieces

LEAST_INFORMATION = 1e-10  # of the information of observations about a change of a known curve, below which it is rounding


def nodes_of(specification: Specification) -> Points:
    """Distinct x of a specification's program, increasing."""
    read = specification.functionals
    parts = [read.end, read.start.take(read.kind != VALUE)]
    if specification.period is not None:
        parts.append(Points(np.array([0.0, specification.period])))
    coarse = np.concatenate([p.coarse for p in parts])
    fine = None
    if any(p.fine is not None for p in parts):
        fine = np.concatenate([np.zeros(len(p.coarse)) if p.fine is None else p.fine for p in parts])
    points = Points(coarse, fine)
    return points.take(np.unique(points.keys, return_index=True)[1])


def changes_of(
    specification: Specification, values: FloatArray, variance: FloatArray, count: int = 2
) -> tuple[Adjoint, list[Change]]:
    """Estimates of level shifts, and of slope breaks if `count` is two, at all x but the first and those before the start is known.

    With the adjoint of which they come, whose errors are those of the observations.
    """
    level, changes = specification.prior.curve.level, list[Change]()
    if count == 1 and level is not None:
        model, at = specification, int(level.argmax())
    else:
        model, at = specification.with_state(Jump(count - 1)), specification.prior.curve.dim
    adjoint = model.program.adjoint(values, variance)
    n_start = model.n_diffuse - len(model.effects)
    known = int(adjoint.start_nodes[n_start - 1]) if n_start else 0
    nodes = nodes_of(specification)
    x = specification.observations.abscissa.restore(nodes.coarse)
    direct = _direct_information(specification, variance, nodes)
    for j, kind in enumerate(("level shift", "slope break")[: min(count, 1 + specification.prior.smoothness)]):
        information = adjoint.information[:, at + j]
        used = (np.arange(len(information)) > known) & (information > LEAST_INFORMATION * direct[j])
        unit = specification.scale.of(j)
        changes.append(Change.of(kind, x[used], adjoint.score[used, at + j], information[used], unit))
    return adjoint, changes


def _direct_information(specification: Specification, variance: FloatArray, nodes: Points) -> FloatArray:
    """Information of observations from each node on about a change of level and slope there, were the curve known: (2, n)."""
    read = specification.functionals
    keys = nodes.keys
    place = np.searchsorted(keys, read.end.keys if nodes.fine is None or read.end.fine is not None else read.end.coarse + 0j)
    precision = 1 / read.noise(variance)
    distance = (nodes.coarse - nodes.coarse[0]) / specification.scale.x_unit
    per_node = np.zeros((3, len(keys)))
    for power in range(3):
        np.add.at(per_node[power], place, precision * distance[place] ** power)
    zeroth, first, second = np.cumsum(per_node[:, ::-1], axis=1)[:, ::-1]
    return np.array([zeroth, np.maximum(second - 2 * distance * first + distance**2 * zeroth, 0.0) + zeroth])


def no_spline(specification: Specification) -> str:
    """Why the posterior mean is no spline, with the alternative; empty where it is one."""
    prior = specification.prior
    if not isinstance(prior, IntegratedWiener):
        trend = [n for n, t in zip(specification.component_names, prior.components, strict=True) if isinstance(t, IntegratedWiener)]
        of_trend = f", of its smooth part by predict(x, component={trend[0]!r})" if trend and len(prior.components) > 1 else ""
        return f"under {prior!r} it is not a polynomial between observations; evaluate it by predict{of_trend}"
    if specification.interventions:
        return f"it jumps or bends at {', '.join(specification.intervention_labels)}; evaluate it by predict"
    if any(r.upper is not None and r.deriv == OF_INTEGRAL for r in specification.observations.readings):
        return "within an interval of an observed integral it is of a higher degree; evaluate it by predict"
    return ""


def pieces_of(
    specification: Specification, values: FloatArray, variance: FloatArray, mean: Callable[[Points, int], FloatArray]
) -> Pieces:
    """The polynomials between the nodes of an integrated Wiener process; `mean` gives scaled derivatives at points.

    Derivative order + j is q times (-1)^j the adjoint of derivative order - 1 - j.
    """
    order, scale, nodes = specification.prior.dim, specification.scale, nodes_of(specification)
    score = specification.program.adjoint(values, variance).score
    q = float(values[0]) if specification.prior.hyperparameters else 0.0
    higher = q * score[1:, :order][:, ::-1] * (-1.0) ** np.arange(order)
    states = np.column_stack([mean(nodes, k) for k in range(order)])
    gaps = nodes.take(slice(1, None)).minus(nodes.take(slice(-1))) / scale.x_unit
    if specification.period is not None:
        nodes = Points(nodes.coarse + specification.phases.first.coarse[0])
    return Pieces(nodes, gaps, scale, states, higher)


def multiplicities(specification: Specification) -> npt.NDArray[np.int64]:
    """How often each x is a knot: an observation of f^(k) makes the derivative of order 2 order - 1 - k jump."""
    nodes, read = nodes_of(specification), specification.functionals
    found = np.ones(len(nodes.coarse), dtype=np.int64)
    deriv = np.concatenate([np.full(len(r), max(r.deriv, 0), np.int64) for r in specification.observations.readings])
    keys = read.end.keys if nodes.fine is None or read.end.fine is not None else read.end.coarse + 0j
    np.maximum.at(found, np.searchsorted(nodes.keys, keys), deriv + 1)
    return found

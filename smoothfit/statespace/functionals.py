"""What engines of state space models are asked for: derivatives at points, integrals, differences, components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._validation import FloatArray
from ..errors import SpecificationError
from ..markov.functionals import DIFFERENCE, INTEGRAL, VALUE, Functionals
from ..observations import OF_DIFFERENCE, derivative_label
from ..observations.abscissa import Points
from ..observations.readings import OF_INTEGRAL
from .specification import Specification
from .varying import coefficient_label


@dataclass(frozen=True, eq=False)
class CurveFunctionals:
    """Derivatives of f, or of a component of it, at points; or integrals or differences of f from points to others.

    Attributes
    ----------
    points : Points, n values of x
        A `RegressedPoints` adds the regressors of observations there.
    derivs : tuple of int
        Orders of the derivatives; several are asked for jointly, one order after the other.
    kind : int
        `VALUE`, `INTEGRAL` or `DIFFERENCE` of `markov.functionals`.
    upper : Points, n values of x, or None
        Upper limits, beyond `points`, of integrals and differences.
    component : str or None
        A component of the prior, an intervention, or a coefficient that varies; all of f by default.
    """

    points: Points
    derivs: tuple[int, ...] = (0,)
    kind: int = VALUE
    upper: Points | None = None
    component: str | None = None

    def __post_init__(self) -> None:
        if (self.upper is None) != (self.kind == VALUE):
            raise SpecificationError("upper is for integrals and differences; leave it out for derivatives")
        if self.upper is not None and (self.derivs != (0,) or self.component is not None):
            raise SpecificationError("integrals and differences are of f itself; leave derivs and component out")
        if self.upper is not None and not (self.upper.minus(self.points) > 0).all():
            raise SpecificationError("upper has an entry at or below that of points; pass limits that increase")

    def __len__(self) -> int:
        return len(self.derivs) * len(self.points.coarse)


def in_state(specification: Specification, functionals: CurveFunctionals) -> tuple[Functionals, FloatArray, FloatArray]:
    """Functionals in terms of the state, with the units and origins of their values."""
    scale, points = specification.scale, functionals.points
    if functionals.upper is not None:
        if specification.period is not None:
            raise SpecificationError("kind asks for integrals or differences, which periodic splines do not have")
        of = OF_INTEGRAL if functionals.kind == INTEGRAL else OF_DIFFERENCE
        query = specification.query(points, functionals.upper, of, kind=functionals.kind)
        if functionals.kind == DIFFERENCE:
            return query, np.full(len(query), scale.y_unit), np.zeros(len(query))
        return query, np.full(len(query), scale.y_unit * scale.x_unit), scale.y_origin * functionals.upper.minus(points)
    highest, size = specification.prior.smoothness, 1.0
    coefficients = {coefficient_label(name): name for name in specification.varying}
    if functionals.component in specification.component_names:
        highest = specification.prior.components[specification.component_names.index(functionals.component)].smoothness
    elif functionals.component in coefficients:
        name = coefficients[functionals.component]
        highest, size = specification.varying[name].smoothness, specification.coefficient_unit(name) / scale.y_unit
    elif functionals.component in specification.intervention_labels:
        highest = max(functionals.derivs)
    elif functionals.component is not None:
        names = (*specification.component_names, *specification.intervention_labels, *coefficients)
        raise SpecificationError(f"component is {functionals.component!r}; the components are {', '.join(names)}")
    if max(functionals.derivs) > highest:
        raise SpecificationError(f"derivs holds {max(functionals.derivs)}; derivatives end at {derivative_label(highest)}")
    folded, n = specification.folded(points), len(points.coarse)
    parts = [specification.query(None, folded, k, component=functionals.component) for k in functionals.derivs]
    units = np.repeat([scale.of(k) * size for k in functionals.derivs], n)
    origin = origin_of(specification, functionals.component)
    return Functionals.join(parts), units, np.repeat([origin if k == 0 else 0.0 for k in functionals.derivs], n)


def origin_of(specification: Specification, component: str | None) -> float:
    """What was taken out of the observations of the curve or of a component: it counts to the first that has a level."""
    names, components = specification.component_names, specification.prior.components
    first = next((n for n, t in zip(names, components, strict=True) if t.level is not None), None)
    return specification.scale.y_origin if component in (None, first) else 0.0

"""Formulas of spline regressions: ``"y + D(dy) ~ bsp(x, df=12)"``, ``"z + D(zx, x) ~ te(bsp(x, df=8), bsp(y, df=8))"``."""

from __future__ import annotations

import ast
import re
from typing import Any

from .._formulas import called, expression, sides
from .._frames import absent_column
from .._validation import check_order
from ..basis.base import Basis
from ..basis.formula import DesignSpec
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..basis.transforms import TRANSFORMS
from ..errors import SpecificationError
from ..observations import Observations
from ..observations.points import PointObservations
from ..observations.readings import HIGHEST_DERIVATIVE

Order = int | tuple[str, ...]  # of a derivative: its number, or the variables by which it is
TENSOR = "te"
FIT_OPTIONS = ("method", "lam", "edf", "cov_type", "cov_kwds", "rescale", "loss", "parameter")
SMOOTH = re.compile(r"\bs\((\w+)[^()]*\)")  # a smooth term of generalised additive models
FORM = 'pass one like "y + D(dy) ~ bsp(x, df=12)"'


def observations_of(formula: Any, data: Any, options: dict[str, Any]) -> tuple[Observations | PointObservations, AnyBasis]:
    """The observations of a formula in a data frame, and its basis."""
    of_fit = [name for name in options if name in FIT_OPTIONS]
    if of_fit:
        raise SpecificationError(f"{of_fit[0]} is an option of fit: from_formula(formula, data).fit({of_fit[0]}=...)")
    if "family" in options:
        raise SpecificationError(f"family is given; {FAMILY_HINT}")
    readings, inputs, basis = parse(formula, data)
    if isinstance(basis, Basis):
        curve = {column: _order(column, order, inputs)[0] for column, order in readings.items()}
        return Observations.from_frame(data, inputs[0], curve, **options), basis
    partial = {column: _order(column, order, inputs) for column, order in readings.items()}
    return PointObservations.from_frame(data, inputs, partial, **options), basis


def _order(column: str, order: Order, inputs: tuple[str, ...]) -> tuple[int, ...]:
    """Order of the derivative by each variable."""
    if isinstance(order, int):
        if order and len(inputs) > 1:
            raise SpecificationError(f"{column!r} observes a derivative: by which variable? Write D({column}, {inputs[0]})")
        return (order,) + (0,) * (len(inputs) - 1)
    unknown = [name for name in order if name not in inputs]
    if unknown:
        raise SpecificationError(f"{column!r} observes a derivative by {unknown[0]!r}; the variables are {', '.join(inputs)}")
    return tuple(order.count(name) for name in inputs)


def parse(formula: Any, data: Any) -> tuple[dict[str, Order], tuple[str, ...], AnyBasis]:
    """Columns of observations with the orders of their derivatives, the columns of the variables, and the basis."""
    left, right = sides(formula, FORM)
    tree = _tree(right)
    if isinstance(tree, ast.Call) and called(tree) == TENSOR:
        if len(tree.args) < 2 or tree.keywords:
            raise SpecificationError(
                f"{right!r} has {len(tree.args)} variables; write te(bsp(x, df=8), bsp(y, df=8)), one basis for each"
            )
        columns, factors = zip(*[_basis(factor, ast.unparse(factor), data) for factor in tree.args], strict=True)
        return _readings(_tree(left)), columns, TensorProductBasis(*factors)
    column, basis = _basis(tree, right, data)
    return _readings(_tree(left)), (column,), basis


def _tree(side: str) -> ast.expr:
    return expression(side, f"{side!r} is not allowed in a formula; {FORM}")


def _readings(tree: ast.expr) -> dict[str, Order]:
    """y, D(y), D(y, k) and D(y, x, ..) between plus signs."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        first, second = _readings(tree.left), _readings(tree.right)
        twice = set(first) & set(second)
        if twice:
            raise SpecificationError(f"the formula has {sorted(twice)[0]!r} twice on its left; each column is one series")
        return first | second
    if isinstance(tree, ast.Name):
        return {tree.id: 0}
    if isinstance(tree, ast.Call) and called(tree) == "D" and not tree.keywords:
        column, *order = tree.args
        if isinstance(column, ast.Name) and order and all(isinstance(by, ast.Name) for by in order):
            return {column.id: tuple(by.id for by in order if isinstance(by, ast.Name))}
        if isinstance(column, ast.Name) and all(isinstance(k, ast.Constant) for k in order) and len(order) <= 1:
            k = order[0].value if order and isinstance(order[0], ast.Constant) else 1
            return {column.id: check_order(k, f"the order in {ast.unparse(tree)}", 0, HIGHEST_DERIVATIVE)}
    raise SpecificationError(f"{ast.unparse(tree)!r} is not valid on the left; write columns y, D(y) for y' and D(y, 2) for y''")


FAMILY_HINT = (
    "SplineRegression has normal noise (or loss= of fit); for counts and other families use a generalised linear model with a "
    'spline term: smf.glm("y ~ bsp(x, df=12)", data, family=...) of statsmodels'
)


def _hint(tree: ast.expr) -> str:
    """Where what is written instead of a basis belongs."""
    if called(tree) == "s":
        return '; for smoothing splines use sf.SmoothingSpline.from_formula("y ~ s(x)", data)'
    if isinstance(tree, ast.Name):
        return f"; for example bsp({tree.id}, df=8)"
    if called(tree) in TRANSFORMS:
        return "; x is the plain name of a column: rename or compute it in the data frame"
    return ""


def _basis(tree: ast.expr, text: str, data: Any) -> tuple[str, Basis]:
    """One transform of one column."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        additive = "y ~ " + SMOOTH.sub(r"bsp(\1, df=8)", text)
        raise SpecificationError(
            f"{text!r} is not a basis but a sum of terms; a SplineRegression has one basis, of one column, or for a surface "
            "te(bsp(x), bsp(z)). For a smooth curve plus linear regressors use "
            'sf.SmoothingSpline.from_formula("y ~ s(x) + g", data), for several terms the transforms in a formula of statsmodels, '
            f"smf.ols({additive!r}, data)"
        )
    if called(tree) not in TRANSFORMS or not isinstance(tree, ast.Call) or not tree.args or not isinstance(tree.args[0], ast.Name):
        raise SpecificationError(
            f"{text!r} is not a basis; write on the right one of {', '.join(TRANSFORMS)} of one column, or te() of several"
            f"{_hint(tree)}"
        )
    columns = [str(name) for name in getattr(data, "columns", [tree.args[0].id])]
    if tree.args[0].id not in columns:
        raise absent_column(tree.args[0].id, columns)
    (basis,) = DesignSpec.from_formula(text, data).bases.values()
    return tree.args[0].id, basis

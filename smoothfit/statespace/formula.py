"""Formulas of smoothing splines: ``altitude + D(climb) ~ s(time_s, order=3)``."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from ..errors import SpecificationError

OPTIONS = {"order": int, "unit": str}
EXAMPLE = '"altitude + D(climb) ~ s(time_s, order=3)"'


@dataclass(frozen=True)
class SplineFormula:
    """What a formula says.

    Attributes
    ----------
    x : str
        Column of the abscissa.
    readings : dict from str to int
        Column of readings -> order of the derivative that it holds.
    options : dict
        ``order`` of the model and ``unit`` of time, where given.
    """

    x: str
    readings: dict[str, int]
    options: dict[str, Any]

    @classmethod
    def parse(cls, formula: Any) -> SplineFormula:
        """Read a formula.

        Left of ~ the columns of readings, joined by +: ``y`` reads f, ``D(y)`` its derivative, ``D(y, 2)`` the second one. Right of
        it ``s(x, order=2, unit=None)``. A column whose name is no Python name is quoted: ``Q("climb rate")``.
        """
        if not isinstance(formula, str) or formula.count("~") != 1:
            raise SpecificationError(f"formula is {formula!r}; write readings ~ s(x), for example {EXAMPLE}")
        left, right = (_expression(side, formula) for side in formula.split("~"))
        readings: dict[str, int] = {}
        for term in _terms(left):
            name, deriv = _reading(term, formula)
            if name in readings:
                raise SpecificationError(f"formula is {formula!r}, which reads the column {name!r} twice; copy it to another")
            readings[name] = deriv
        terms = _terms(right)
        if len(terms) != 1:
            raise SpecificationError(
                f"formula is {formula!r}; right of ~ stands one smooth term s(x), and {ast.unparse(terms[-1])!r} is another term: "
                "regressors are not part of this model"
            )
        x, options = _smooth(terms[0], formula)
        return cls(x, readings, options)


def _expression(side: str, formula: str) -> ast.expr:
    try:
        return ast.parse(side.strip(), mode="eval").body
    except SyntaxError:
        raise SpecificationError(
            f"formula is {formula!r}, of which {side.strip()!r} is no expression; for example {EXAMPLE}"
        ) from None


def _terms(expression: ast.expr) -> list[ast.expr]:
    """What is joined by +."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add):
        return [*_terms(expression.left), *_terms(expression.right)]
    return [expression]


def _column(node: ast.expr) -> str | None:
    """Name of a column, quoted or not; None where it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Q" and len(node.args) == 1:
        quoted = node.args[0]
        if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str) and not node.keywords:
            return quoted.value
    return None


def _reading(term: ast.expr, formula: str) -> tuple[str, int]:
    """Column and order of a term left of ~."""
    name, deriv = _column(term), 0
    if (
        name is None
        and isinstance(term, ast.Call)
        and isinstance(term.func, ast.Name)
        and term.func.id == "D"
        and not term.keywords
    ):
        name = _column(term.args[0]) if 1 <= len(term.args) <= 2 else None
        order = term.args[1] if len(term.args) == 2 else ast.Constant(1)
        is_order = isinstance(order, ast.Constant) and type(order.value) is int
        if name is None or not is_order:
            name = None
        else:
            assert isinstance(order, ast.Constant)
            assert isinstance(order.value, int)
            deriv = order.value
    if name is None:
        raise SpecificationError(
            f"formula is {formula!r}, where {ast.unparse(term)!r} is no reading: write a column y, D(y) for a derivative, D(y, 2), "
            'or Q("any name"); compute others in the data frame'
        )
    return name, deriv


def _smooth(term: ast.expr, formula: str) -> tuple[str, dict[str, Any]]:
    """Column and options of s(x, ...)."""
    name = None
    if isinstance(term, ast.Call) and isinstance(term.func, ast.Name) and term.func.id == "s" and len(term.args) == 1:
        name = _column(term.args[0])
    if name is None:
        raise SpecificationError(f"formula is {formula!r}; right of ~ stands s(x), x a column, and not {ast.unparse(term)!r}")
    assert isinstance(term, ast.Call)
    options: dict[str, Any] = {}
    for keyword in term.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg not in OPTIONS or type(value) is not OPTIONS[keyword.arg]:
            raise SpecificationError(
                f"formula is {formula!r}, where s() has {ast.unparse(keyword)!r}; its options are order=, an integer, and unit=, "
                "a text"
            )
        options[keyword.arg] = value
    return name, options

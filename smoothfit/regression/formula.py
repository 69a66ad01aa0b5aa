"""Formulas of spline regressions: ``"y + D(dy) ~ bsp(x, df=12)"``."""

from __future__ import annotations

import ast
from typing import Any

from .._readings import HIGHEST_DERIVATIVE
from .._validation import check_order
from ..basis.base import Basis
from ..basis.formula import DesignSpec
from ..basis.transforms import TRANSFORMS
from ..errors import SpecificationError

FORM = 'pass one like "y + D(dy) ~ bsp(x, df=12)"'


def parse(formula: Any, data: Any) -> tuple[dict[str, int], str, Basis]:
    """Columns of readings with the orders of their derivatives, the column of x, and the basis."""
    if not isinstance(formula, str) or formula.count("~") != 1:
        raise SpecificationError(f"formula is {formula!r}; {FORM}")
    left, right = (side.strip() for side in formula.split("~"))
    return _readings(_tree(left)), *_basis(_tree(right), right, data)


def _tree(side: str) -> ast.expr:
    try:
        return ast.parse(side, mode="eval").body
    except SyntaxError:
        raise SpecificationError(f"{side!r} is no part of a formula; {FORM}") from None


def _readings(tree: ast.expr) -> dict[str, int]:
    """y, D(y) and D(y, k) between plus signs."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        first, second = _readings(tree.left), _readings(tree.right)
        twice = set(first) & set(second)
        if twice:
            raise SpecificationError(
                f"the formula has {sorted(twice)[0]!r} twice on its left; each column holds one kind of readings"
            )
        return first | second
    if isinstance(tree, ast.Name):
        return {tree.id: 0}
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "D" and not tree.keywords:
        column, *order = tree.args
        if isinstance(column, ast.Name) and all(isinstance(k, ast.Constant) for k in order) and len(order) <= 1:
            k = order[0].value if order and isinstance(order[0], ast.Constant) else 1
            return {column.id: check_order(k, f"the order in {ast.unparse(tree)}", 0, HIGHEST_DERIVATIVE)}
    raise SpecificationError(f"{ast.unparse(tree)!r} is no reading; on the left stand columns y, D(y) for y' and D(y, 2) for y''")


def _basis(tree: ast.expr, text: str, data: Any) -> tuple[str, Basis]:
    """One transform of one column."""
    is_call = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in TRANSFORMS
    if not is_call or not isinstance(tree, ast.Call) or not tree.args or not isinstance(tree.args[0], ast.Name):
        raise SpecificationError(f"{text!r} is no basis; on the right stands one of {', '.join(TRANSFORMS)} of one column")
    (basis,) = DesignSpec.from_formula(text, data).bases.values()
    return tree.args[0].id, basis

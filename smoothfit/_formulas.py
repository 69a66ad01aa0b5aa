"""What formulas of all models share: their two sides, the expressions on them, and what these call."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from ._validation import shown
from .errors import SpecificationError


def refuse_stated(options: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """Raise if an option is given that the formula states; `places` are by option where it does."""
    for name in options:
        if name in places:
            raise SpecificationError(f"{name}= is given beside a formula, which states it: {places[name]}; leave {name}= out")


def sides(formula: Any, form: str) -> tuple[str, str]:
    """Left and right of the ~ of a formula; `form` is what an error suggests to write."""
    if not isinstance(formula, str) or formula.count("~") != 1:
        raise SpecificationError(f"formula is {shown(formula)}; {form}")
    left, right = formula.split("~")
    return left.strip(), right.strip()


def expression(text: str, error: str) -> ast.expr:
    """The tree of an expression, or an error."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two of what is nested too deep
        raise SpecificationError(error) from None


def called(tree: ast.expr) -> str | None:
    """The name of the function that an expression calls; None of anything else."""
    return tree.func.id if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) else None


def summands(tree: ast.expr) -> list[ast.expr]:
    """What is joined by +."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return [*summands(tree.left), *summands(tree.right)]
    return [tree]

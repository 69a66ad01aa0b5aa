"""Formulas of differential equations, for example ``"D(y, 2) ~ D(y) + u + sign(D(y))"``.

Terms that mention the curve on the left are read here: ``y``, ``D(y)`` and ``D(y, k)`` alone are linear regressors, anything
else that
mentions them is a non-linear term, in ordinary arithmetic with NumPy's functions. All other terms are inputs and are patsy's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt
from narwhals.exceptions import DuplicateError

from .._entry import outside
from .._formulas import called, expression, sides
from .._frames import RowLabels, absent_column, library_of, repeated_columns
from .._validation import FloatArray, shown, to_floats
from ..errors import DataError, SpecificationError
from .frames import column_of
from .specification import Term, derivative_name

NUMPY = "sign abs exp log log1p expm1 sqrt sin cos tan tanh sinh cosh arctan square maximum minimum where power heaviside"
FUNCTIONS = {name: getattr(np, name) for name in NUMPY.split()}
FUNCTIONS["I"] = lambda x: x
FUNCTIONS["pi"] = np.pi
MARK = "_curve"
STATED = {  # by argument of the model, where a formula has it
    "order": "D(y, 2) ~ y + D(y)",
    "intercept": "D(y) ~ y - 1 is without one",
    "terms": "D(y) ~ y + sin(y)",
    "u": "D(y) ~ y + u",
    "derivatives": "D(y, 2) ~ y",
    "input_derivatives": "D(y) ~ y + u + D(u)",
}


class FormulaInputs:
    """The inputs of a formula, made of the columns of any frame as of those of the fit.

    Parameters
    ----------
    texts : list of str
        Terms of the right side that do not mention the curve.
    columns : dict
        The columns of the fit, of which stateful transforms and levels of categories are kept.
    """

    def __init__(self, texts: list[str], columns: Mapping[str, npt.NDArray[Any]]):
        self.texts = texts
        self.named = [text for text in texts if text in columns]
        others = [text for text in texts if text not in columns]
        words = {name: re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in columns if isinstance(name, str)}
        self._fit = {name: columns[name] for name, word in words.items() if any(map(word.search, others))}

    def of(self, columns: Mapping[str, Any]) -> FloatArray:
        """Columns (n, k) of the inputs in another frame."""
        import patsy

        wanted = [*self.named, *self._fit]
        for name in wanted:
            column_of(dict(columns), name, "u", wanted)
        arrays = {name: np.asarray(columns[name]) for name in wanted}
        parts = []
        for text in self.texts:
            if text in self.named:
                parts.append(to_floats(columns[text], f"u[{text!r}]", is_indicator=True)[0][:, None])
                continue
            action = patsy.NAAction(on_NA="raise")
            with outside():
                design = patsy.dmatrix(f"0 + {text}", self._fit, NA_action=action).design_info
            try:
                with outside():
                    (matrix,) = patsy.build_design_matrices([design], arrays, NA_action=action)
            except patsy.PatsyError as error:
                raise DataError(f"cannot evaluate the input {text!r} of the formula: {error.message}") from None
            parts.append(np.asarray(matrix, dtype=float))
        return np.hstack(parts) if parts else np.zeros((0, 0))


class Parts(NamedTuple):
    """A parsed formula: the arguments of the model."""

    y: Any
    t: Any
    u: Any
    order: int
    intercept: bool
    terms: tuple[Term, ...]
    groups: Any
    derivatives: tuple[int, ...]
    input_derivatives: dict[str, int]
    inputs: FormulaInputs


@dataclass(frozen=True)
class Expression:
    """Function of a nonlinear term; pickles as a string."""

    text: str
    time: str

    def __call__(self, y: Sequence[FloatArray], t: FloatArray) -> FloatArray:
        """Evaluate at curves (y, y', ...) and times."""
        names = {**FUNCTIONS, self.time: t, **{f"{MARK}{k}": curve for k, curve in enumerate(y)}}
        return np.asarray(eval(compile(self.text, "<formula>", "eval"), {"__builtins__": {}}, names), dtype=float)


def parse(formula: str, data: Any, t: str, groups: str | Sequence[str] | None) -> Parts:
    """Read a formula and take its columns out of a data frame."""
    left, right = sides(formula, 'pass a string with one ~, such as "D(y) ~ y + u"')
    columns = _columns(data)
    name, order = _left(left)
    _require(columns, name)
    _require(columns, t)
    intercept, derivatives, terms, inputs, rates = _sorted_terms(right, name, t, order, set(columns))
    design, names, counts = _inputs(inputs, columns)
    orders = np.repeat(
        [_highest_rate(rates, ast.unparse(_expression(text)) if rates else text) for text in inputs], counts
    ).tolist()
    if rates:
        inner, k = rates[0]
        raise SpecificationError(
            f"the formula has {derivative_name(inner, k)} without {derivative_name(inner, k - 1)}; write a derivative of an input "
            f"beside the input and its lower derivatives, such as {inner} + D({inner})"
        )
    for i, each in enumerate(names):
        if each in names[:i]:
            raise SpecificationError(f"the formula has the input {each!r} twice; name it once")
    u = None
    if names:
        import pandas as pd

        u = pd.DataFrame(design, columns=names)
    return Parts(
        _series(data, name, to_floats(columns[name], name)[0]),
        _series(data, t, columns[t]),
        u,
        order,
        intercept,
        tuple(terms),
        None if groups is None else _groups(columns, groups),
        tuple(derivatives),
        {name: highest for name, highest in zip(names, orders, strict=True) if highest},
        FormulaInputs(inputs, columns),
    )


def _sorted_terms(
    right: str, name: str, t: str, order: int, columns: set[str]
) -> tuple[bool, list[int], list[Term], list[str], list[tuple[str, int]]]:
    """Whether the right side has an intercept; derivatives of the curve, nonlinear terms, inputs and derivatives of inputs."""
    intercept = True
    derivatives: list[int] = []
    terms: list[Term] = []
    inputs: list[str] = []
    rates: list[tuple[str, int]] = []
    for sign, text in _split(right):
        if text in ("0", "1"):
            intercept = (text == "1") == (sign == "+")
            continue
        if sign == "-":
            raise SpecificationError(f"the formula removes {text!r}; only the intercept can be removed: - 1")
        if ":" in text and not re.search(rf"\b{re.escape(name)}\b", text):  # patsy's interactions are not Python
            inputs.append(text)
            continue
        tree = _expression(text)
        rate = None if _mentions(tree, name) else _rate_of_input(tree)
        if rate is not None:
            rates.append(rate)
            continue
        curve = _curve_order(tree, name)
        if curve is not None:
            if curve >= order:
                raise SpecificationError(f"{text} is not below {derivative_name(name, order)} on the left; raise the order there")
            derivatives.append(curve)
        elif _mentions(tree, name):
            terms.append(_term(text, tree, name, t, order, columns))
        else:
            inputs.append(text)
    return intercept, derivatives, terms, inputs, rates


def _series(data: Any, name: str, values: npt.NDArray[Any]) -> Any:
    """A column as a series with the labels of its rows, times in their zone."""
    import pandas as pd

    if library_of(data) not in ("pandas", "polars"):
        return pd.Series(values, name=name)
    if values.dtype.kind == "f":
        return cast(RowLabels, RowLabels.of(data)).series(values, name)
    return data[name]


def _groups(columns: dict[str, Any], groups: str | Sequence[str]) -> Any:
    """The column of runs, or of several columns a tuple for each row."""
    if not isinstance(groups, list):
        _require(columns, groups)
        return columns[cast(str, groups)]
    for name in groups:
        _require(columns, name)
    return list(zip(*(columns[name].tolist() for name in groups), strict=True))


def _columns(data: Any) -> dict[str, Any]:
    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError:
        raise DataError(f"data is {type(data).__name__}; pass a pandas, Polars or PyArrow data frame") from None
    except DuplicateError:
        raise repeated_columns(data, "data") from None
    return {name: frame.get_column(name).to_numpy() for name in frame.columns}


def _require(columns: dict[str, Any], name: Any) -> None:
    if not isinstance(name, Hashable):
        raise SpecificationError(f"{shown(name)} is not the name of a column; pass one of {', '.join(map(str, columns))}")
    if name not in columns:
        raise absent_column(name, columns)


def _expression(text: str) -> ast.expr:
    error = f"cannot read {text!r} in the formula; write D(y) for y', and Q('the name') for a column whose name has blanks or signs"
    return expression(text, error)


def _left(text: str) -> tuple[str, int]:
    tree = _expression(text)
    if isinstance(tree, ast.Call) and called(tree) == "D" and tree.args and isinstance(tree.args[0], ast.Name):
        order = _curve_order(tree, tree.args[0].id)
        if order is not None and order >= 1:
            return tree.args[0].id, order
    raise SpecificationError(f'the left side is {text!r}; write the highest derivative, "D(y)" or "D(y, 2)"')


def _split(text: str) -> list[tuple[str, str]]:
    """Top-level terms with their signs."""
    parts, depth, sign, current = [], 0, "+", ""
    for character in text + "+":
        depth += (character in "([{") - (character in ")]}")
        if character in "+-" and depth == 0:
            if current.strip():
                if current.rstrip()[-1] in "*/^:":
                    current += character
                    continue
                parts.append((sign, current.strip()))
                sign = character
            else:
                sign = character if not parts or character == "-" else sign
            current = ""
        else:
            current += character
    if depth:
        raise SpecificationError(f"the brackets of {text.strip()!r} do not match")
    return parts


def _curve_order(tree: ast.expr, name: str) -> int | None:
    """K for D(name, k), 0 for the name alone, None for anything else."""
    if isinstance(tree, ast.Name):
        return 0 if tree.id == name else None
    if not isinstance(tree, ast.Call) or called(tree) != "D":
        return None
    if tree.keywords or len(tree.args) not in (1, 2) or not (isinstance(tree.args[0], ast.Name)):
        raise SpecificationError(f"cannot read {ast.unparse(tree)}; write D(y) or D(y, k) of a column y")
    if tree.args[0].id != name:
        raise SpecificationError(
            f"{ast.unparse(tree)} is a derivative of {tree.args[0].id!r}, but the equation is of {name!r}; pass coupled "
            f"outputs as arrays"
        )
    if len(tree.args) == 1:
        return 1
    order = tree.args[1]
    if not (
        isinstance(order, ast.Constant) and isinstance(order.value, int) and not isinstance(order.value, bool) and order.value >= 0
    ):
        raise SpecificationError(f"cannot read {ast.unparse(tree)}; the order is a whole number")
    return order.value


def _rate_of_input(tree: ast.expr) -> tuple[str, int] | None:
    """The input and k of D(input, k); None for anything else."""
    if not isinstance(tree, ast.Call) or called(tree) != "D" or not tree.args:
        return None
    of_name = ast.Call(tree.func, [ast.Name("_", ast.Load()), *tree.args[1:]], tree.keywords)
    order = _curve_order(of_name, "_")
    if not order:
        raise SpecificationError(f"cannot read {ast.unparse(tree)}; write D(u) or D(u, k) of an input u, with k one or more")
    return ast.unparse(tree.args[0]), order


def _highest_rate(rates: list[tuple[str, int]], text: str) -> int:
    """The highest derivative of an input among those of a formula, of which it takes these away."""
    highest = 0
    while (text, highest + 1) in rates:
        highest += 1
        rates.remove((text, highest))
    return highest


def _mentions(tree: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def _term(text: str, tree: ast.expr, name: str, time: str, order: int, columns: set[str]) -> Term:
    """A non-linear term: its curves become arguments, its functions NumPy's."""
    highest = 0

    class Curves(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.expr:
            nonlocal highest
            k = _curve_order(node, name)
            if k is not None:
                highest = max(highest, k)
                return ast.Name(f"{MARK}{k}", ast.Load())
            node.args = [self.visit(argument) for argument in node.args]
            if (
                isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("np", "numpy")
            ):
                node.func = ast.Name(node.func.attr, ast.Load())
            return node

        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.Name(f"{MARK}0", ast.Load()) if node.id == name else node

    changed = ast.fix_missing_locations(ast.Expression(Curves().visit(tree)))
    for node in ast.walk(changed):
        if isinstance(node, ast.Attribute):
            raise SpecificationError(
                f"{text}: attributes are not allowed in terms; use np functions or {', '.join(sorted(FUNCTIONS))}"
            )
        if isinstance(node, ast.Name) and node.id not in FUNCTIONS and node.id != time and not node.id.startswith(MARK):
            if node.id in columns:
                raise SpecificationError(
                    f"{text} mixes the curve with the input {node.id!r}, and terms are functions of {name} and {time}; interpolate "
                    f"the input: sf.DerivativeRegression({name}, {time}, terms={{{text!r}: lambda y, t: y[0] * np.interp(t, times, "
                    f"{node.id})}})"
                )
            raise SpecificationError(f"{text}: {node.id!r} is unknown; terms have {', '.join(sorted(FUNCTIONS))}")
    if highest >= order:
        raise SpecificationError(f"{text} uses a derivative that is not below the left side")
    return Term(text, Expression(ast.unparse(changed), time), rates=highest > 0)


def _reason(error: Exception, columns: Mapping[str, Any]) -> str:
    """Patsy's error for a formula, in a line; for an unknown name with the known ones."""
    reason = str(error).splitlines()[0].removeprefix("Error evaluating factor: ")
    if isinstance(error.__cause__, NameError):
        return f"{error.__cause__}; the columns are {', '.join(map(str, columns))}"
    return reason


def _inputs(texts: list[str], columns: dict[str, Any]) -> tuple[FloatArray, list[str], list[int]]:
    """Columns of the inputs, those named and what patsy makes of the rest, their names, and how many there are of each text."""
    parts: list[FloatArray] = []
    names: list[str] = []
    for text in texts:
        if text in columns:
            parts.append(to_floats(columns[text], text, is_indicator=True)[0][:, None])
            names.append(text)
            continue
        import patsy

        try:
            with outside():
                matrix = patsy.dmatrix(f"0 + {text}", columns, NA_action=patsy.NAAction(on_NA="raise"), return_type="matrix")
        except patsy.PatsyError as error:
            raise DataError(f"cannot read the input {text!r}: {_reason(error, columns)}") from None
        parts.append(np.asarray(matrix, dtype=float))
        names += matrix.design_info.column_names
    return (np.hstack(parts) if parts else np.zeros((0, 0))), names, [part.shape[1] for part in parts]

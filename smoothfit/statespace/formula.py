"""Formulas of smoothing splines: ``altitude + D(climb) ~ s(time_s, order=3) + w``."""

from __future__ import annotations

import ast
import datetime
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np

from .._formulas import called, expression, sides, summands
from .._frames import absent_column
from .._validation import FloatArray, to_floats
from ..basis.transforms import TRANSFORMS
from ..errors import DataError, SpecificationError
from .effects import Intervention, Level, Pulse, Slope

OPTIONS: dict[str, tuple[type, ...]] = {"order": (int,), "unit": (str,), "period": (int, float)}
CHANGES: dict[str, type[Intervention]] = {"Pulse": Pulse, "Level": Level, "Slope": Slope}
FOREIGN = {  # options of smooth terms of generalised additive models
    "by": "; for a curve of each group use sf.fit_curves(data, by=...)",
    "k": "; there is a knot at every x, and fit(edf=) fixes the smoothing",
}
STATED = {  # by argument of the model, where a formula has it
    "order": "y ~ s(x, order=3)",
    "period": "y ~ s(x, period=24)",
    "unit": "y ~ s(x, unit='D')",
    "regressors": "y ~ s(x) + column",
}
EXAMPLE = '"altitude + D(climb) ~ s(time_s, order=3)"'


@dataclass(frozen=True)
class SplineFormula:
    """A parsed formula.

    Attributes
    ----------
    x : str
        Column of x.
    readings : dict from str to int
        Column of observations -> order of the derivative that it observes.
    options : dict
        ``order`` and ``period`` of the model and ``unit`` of time, where given.
    regressors : tuple of str
        Columns that observations of f depend on besides.
    interventions : tuple of Intervention
    """

    x: str
    readings: dict[str, int]
    options: dict[str, Any]
    regressors: tuple[str, ...] = ()
    interventions: tuple[Intervention, ...] = ()

    @classmethod
    def parse(cls, formula: Any) -> SplineFormula:
        """Read a formula.

        Left of ~ the columns of observations, joined by +: ``y`` observes f, ``D(y)`` its derivative, ``D(y, 2)`` the second one.
        Right of it ``s(x, order=2, unit=None, period=None)``, and after a + regressors, ``Pulse(x0)``, ``Level(x0)`` or
        ``Slope(x0)``. A column whose name is not a Python identifier is quoted: ``Q("climb rate")``.
        """
        left, right = (
            expression(side, f"formula is {formula!r}, of which {side!r} is not a valid expression; for example {EXAMPLE}")
            for side in sides(formula, f"write observations ~ s(x), for example {EXAMPLE}")
        )
        readings: dict[str, int] = {}
        for term in summands(left):
            name, deriv = _reading(term, formula)
            if name in readings:
                raise SpecificationError(f"formula is {formula!r}, which observes the column {name!r} twice; copy it to another")
            readings[name] = deriv
        terms = summands(right)
        smooth = [term for term in terms if called(term) == "s"]
        if len(smooth) != 1:
            term = (smooth or terms)[-1]
            raise SpecificationError(
                f"formula is {formula!r}; right of ~ stands one smooth term s(x), x a column, and not {ast.unparse(term)!r}"
                f"{_elsewhere(term, is_one_of_several=len(smooth) > 1)}"
            )
        x, options = _smooth(smooth[0], formula)
        regressors: list[str] = []
        interventions: list[Intervention] = []
        for term in terms:
            column = _column(term)
            if column is not None:
                regressors.append(column)
            elif called(term) in CHANGES:
                interventions.append(_change(term, formula))
            elif term is not smooth[0]:
                group = _column(term.args[0]) if isinstance(term, ast.Call) and called(term) == "C" and term.args else None
                others = "compute others in the data frame" if group is None else f"for groups, {_dummies(group)}"
                raise SpecificationError(
                    f"formula is {formula!r}, where {ast.unparse(term)!r} is neither s(x), a column nor Pulse(x0), Level(x0) or "
                    f"Slope(x0); {others}"
                )
        for name in regressors:
            if regressors.count(name) > 1 or name in readings or name == x:
                raise SpecificationError(f"formula is {formula!r}, in which {name!r} stands twice; copy it to another column")
        return cls(x, readings, options, tuple(regressors), tuple(interventions))


def _elsewhere(term: ast.expr, *, is_one_of_several: bool) -> str:
    """What fits a term that is none of a smoothing spline's."""
    if is_one_of_several:
        return "; for a sum of smooth terms use those of statsmodels' formulas, smf.ols('y ~ bsp(x, df=8) + bsp(z, df=8)', data)"
    if called(term) == "te":
        return '; for a surface use sf.SplineRegression.from_formula("y ~ te(bsp(x, df=8), bsp(z, df=8))", data, penalty)'
    return "; bases are for sf.SplineRegression.from_formula" if called(term) in TRANSFORMS else ""


def _change(term: ast.expr, formula: str) -> Intervention:
    """An intervention of a number, or of a time as text."""
    assert isinstance(term, ast.Call)
    try:
        arguments = [ast.literal_eval(argument) for argument in term.args]
    except ValueError:
        arguments = []
    if len(arguments) != 1 or term.keywords or not isinstance(arguments[0], int | float | str):
        raise SpecificationError(
            f"formula is {formula!r}, where {ast.unparse(term)!r} is not an intervention: write Level(3.5), or a time as a string"
        )
    at = arguments[0]
    kind = CHANGES[str(called(term))]
    return kind(_time(at, formula) if isinstance(at, str) else at, ast.unparse(term))


def _time(text: str, formula: str) -> Any:
    """A time as pandas has it: with a zone if the text has one, and without if not."""
    import pandas as pd

    try:
        datetime.datetime.fromisoformat(text)
        return pd.Timestamp(text)
    except ValueError:
        pass
    try:
        return pd.Timestamp(np.datetime64(text))  # years and months alone, too
    except ValueError:
        raise SpecificationError(
            f"formula is {formula!r}, where {text!r} is not a time; write it as '2026-02-01' or '2026-02-01T12:30+01:00'"
        ) from None


def _column(node: ast.expr) -> str | None:
    """Name of a column, quoted or not; None if it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call) and called(node) == "Q" and len(node.args) == 1:
        quoted = node.args[0]
        if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str) and not node.keywords:
            return quoted.value
    return None


def _reading(term: ast.expr, formula: str) -> tuple[str, int]:
    """Column and order of a term left of ~."""
    name, deriv = _column(term), 0
    if name is None and isinstance(term, ast.Call) and called(term) == "D" and len(term.args) in (1, 2) and not term.keywords:
        order = term.args[1] if len(term.args) == 2 else ast.Constant(1)
        if isinstance(order, ast.Constant) and isinstance(order.value, int) and not isinstance(order.value, bool):
            name, deriv = _column(term.args[0]), order.value
    if name is None:
        raise SpecificationError(
            f"formula is {formula!r}, where {ast.unparse(term)!r} is not valid: write a column y, D(y) for a derivative, D(y, 2), "
            'or Q("any name"); compute others in the data frame'
        )
    return name, deriv


def _smooth(term: ast.expr, formula: str) -> tuple[str, dict[str, Any]]:
    """Column and options of s(x, ...)."""
    name = None
    if isinstance(term, ast.Call) and called(term) == "s" and len(term.args) == 1:
        name = _column(term.args[0])
    if name is None:
        inside = term.args[0] if isinstance(term, ast.Call) and len(term.args) == 1 else None
        if isinstance(inside, ast.Call):
            hint = f"compute {ast.unparse(inside)} as a column of the data frame"
        else:
            quoted = "any name" if inside is None else ast.unparse(inside)
            hint = f"a name that is not a Python identifier is quoted: s(Q({quoted!r}))"
        raise SpecificationError(
            f"formula is {formula!r}; right of ~ stands s(x), x a column, and not {ast.unparse(term)!r}; {hint}"
        )
    assert isinstance(term, ast.Call)
    options: dict[str, Any] = {}
    for keyword in term.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg not in OPTIONS or type(value) not in OPTIONS[keyword.arg]:
            raise SpecificationError(
                f"formula is {formula!r}, where s() has {ast.unparse(keyword)!r}; its options are order=, an integer, "
                f"unit=, a string, and period=, a number{FOREIGN.get(keyword.arg or '', '')}"
            )
        options[keyword.arg] = value
    return name, options


def _dummies(name: str) -> str:
    """How a column of groups becomes regressors."""
    return f"make columns of zeros and ones, pandas.get_dummies(data, columns=[{name!r}], drop_first=True, dtype=float)"


def regressor_columns(formula: SplineFormula, data: Any) -> dict[str, FloatArray]:
    """Each regressor at every observation that is not missing, zero if a derivative is observed: shape (n,)."""
    if not formula.regressors:
        return {}
    frame = nw.from_native(data, eager_only=True)
    columns = {}
    kept = {name: ~np.isnan(to_floats(frame.get_column(name).to_native(), name)[0]) for name in formula.readings}
    for regressor in formula.regressors:
        if regressor not in frame.columns:
            raise absent_column(regressor, frame.columns)
        column = frame.get_column(regressor)
        if column.dtype in (nw.String, nw.Categorical, nw.Enum):
            raise DataError(
                f"{regressor} contains strings, and a regressor consists of numbers: {_dummies(regressor)}, or fit a curve to each "
                f"group, sf.fit_curves(data, by={regressor!r}, ...)"
            )
        values, _ = to_floats(column.to_native(), regressor, is_indicator=True)
        columns[regressor] = np.concatenate([values[kept[name]] * (deriv == 0) for name, deriv in formula.readings.items()])
    return columns

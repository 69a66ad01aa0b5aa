"""Transforms for formulas: the columns of a basis, whose knots are learned once and remembered for new data.

A formula engine calls a transform twice, to learn from the data and to make columns of these or of other data. patsy
looks for ``__patsy_stateful_transform__`` on the function and makes an object that is fed the data in chunks; formulaic looks
for ``__is_stateful_transform__`` and passes a dictionary that it keeps. Both end in `Columns.learn` and `Columns.of`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, cast

import numpy as np

from .._validation import FloatArray, check_flag, check_memory, check_order, first_index, to_floats
from ..errors import DataError, SpecificationError
from .base import Basis, SplineBasis
from .bspline import HIGHEST_DERIVATIVE, BSplineBasis
from .families import BernsteinBasis, CSplineBasis, ISplineBasis, MSplineBasis, NaturalSplineBasis
from .knots import HIGHEST_DEGREE, data_and_boundary
from .periodic import PeriodicBSplineBasis

ROWS_AT_ONCE = 2**14  # a block of rows fits the cache, where it is turned into columns
TRANSFORMS: dict[str, Callable[..., Any]] = {}  # name -> function

P = ParamSpec("P")


@dataclass(frozen=True)
class Columns:
    """What the call of a transform asks for; the fields are described in `bsp`."""

    name: str
    family: type[SplineBasis | BernsteinBasis]
    df: int | None
    knots: Any
    degree: int
    intercept: bool
    boundary: tuple[float, float] | None
    deriv: int
    integral: bool
    extrapolate: str

    def __post_init__(self) -> None:
        for option in ("intercept", "integral"):
            check_flag(getattr(self, option), option)
        check_order(self.deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        if self.deriv and self.integral:
            raise SpecificationError(f"deriv={self.deriv} and integral=True contradict each other; pass one of them")
        if self.df is not None and self.knots is not None:
            raise SpecificationError("df and knots are both given; pass one of them: knots= alone fixes the number of columns")

    @property
    def dropped(self) -> int:
        """Number of functions left out: the first one, which would make the columns span the constant."""
        return 0 if self.intercept else 1

    @property
    def learns(self) -> bool:
        """Whether the basis depends on the data."""
        return self.boundary is None or (self.df is not None and self.family is not BernsteinBasis)

    def learn(self, x: FloatArray) -> Basis:
        """Make the basis for x (n,), in which NaN are missing; it has a column at least."""
        basis = self._basis(x)
        if not self._n_columns(basis):
            raise SpecificationError(
                f"{self.name} has no column: of degree {self.degree} without inner knots its basis is one function, which "
                "intercept=False leaves out; pass intercept=True, or df= or knots= for more functions"
            )
        return basis

    def _basis(self, x: FloatArray) -> Basis:
        degree = check_order(self.degree, "degree", 0, HIGHEST_DEGREE)
        if issubclass(self.family, SplineBasis):
            n_functions = None if self.df is None else self._n_functions(self.family._fewest(degree))
            return self.family.from_data(
                x, n_functions, degree=degree, knots=self.knots, boundary=self.boundary, extrapolate=self.extrapolate
            )
        if self.knots is not None:
            raise SpecificationError(
                f"{self.name} has no inner knots: Bernstein polynomials are one piece; leave knots, or use bsp"
            )
        degree = degree if self.df is None else self._n_functions(1) - 1
        return BernsteinBasis(degree, *data_and_boundary(x, self.boundary)[1], self.extrapolate)

    def _n_functions(self, fewest: int) -> int:
        """Number of functions of the basis that leaves df columns."""
        df = check_order(self.df, "df", 1, 2**31)
        fewest = max(fewest - self.dropped, 1)
        if df < fewest:
            kind = f"of degree {self.degree} {'with' if self.intercept else 'without'} intercept"
            raise SpecificationError(f"df is {df}; {self.name} {kind} has at least {fewest} columns: raise df or lower degree")
        return df + self.dropped

    def of(self, basis: Basis, x: FloatArray) -> FloatArray:
        """Return the columns at x (n,), NaN where x is: an array (n, df) stored column by column, as formula engines read it."""
        lower, upper = basis.domain
        missing = np.isnan(x)
        points = np.where(missing, lower, x) if missing.any() else x
        is_inside = not len(x) or bool(points.min() >= lower and points.max() <= upper)
        if not is_inside and getattr(basis, "extrapolate", "error") == "error":
            i = first_index(~((points >= lower) & (points <= upper)))
            raise DataError(
                f"x[{i}] = {x[i]} is outside the domain [{lower}, {upper}] of {self.name}; pass boundary= to widen it, or "
                "extrapolate= to set the columns there"
            )
        n, width = len(x), self._n_columns(basis)
        check_memory(16.0 * n * width, f"a design of {n} rows and {width} columns of {self.name}", "lower df, or pass fewer knots")
        rows = self._rows_of(basis, is_inside)
        columns = np.empty((width, n)).T
        for start in range(0, len(x), ROWS_AT_ONCE):
            chunk = slice(start, start + ROWS_AT_ONCE)
            columns[chunk] = rows(points[chunk])
        if missing.any():
            columns[missing] = np.nan
        return columns

    def _n_columns(self, basis: Basis) -> int:
        return basis.n_basis - self.dropped

    def _rows_of(self, basis: Basis, is_inside: bool) -> Callable[[FloatArray], FloatArray]:
        """The function that makes rows of the columns at a few points."""
        if self.integral:
            return lambda points: basis.integral(basis.domain[0], points)[:, self.dropped :]
        bsplines = basis.parent if isinstance(basis, BernsteinBasis) else basis
        if isinstance(bsplines, BSplineBasis) and is_inside and not self.deriv:
            return lambda points: bsplines.values_without(points, self.dropped)
        return lambda points: basis.design(points, self.deriv, sparse=False)[:, self.dropped :]


def _abscissae(x: Any) -> FloatArray:
    """Return x as floats, of which some may be NaN; categories and infinities are refused."""
    metadata = getattr(x, "__formulaic_metadata__", None)
    kind = str(getattr(x, "dtype", "")).lower()
    if kind.startswith(("category", "categorical", "enum")) or "CATEGORICAL" in str(getattr(metadata, "kind", "")):
        raise DataError("x is categorical; a spline needs numbers: pass the column itself, or give each category a number")
    points, _ = to_floats(x if metadata is None else x.__wrapped__, "x")
    infinite = np.isinf(points)
    if infinite.any():
        i = first_index(infinite)
        raise DataError(f"x[{i}] is {points[i]}; values of x must be finite, and a missing one is NaN")
    return points


class Memory:
    """What a transform learns, by patsy's protocol: data in chunks, the end of the data, then columns of any data."""

    describe: Callable[..., Columns]

    def __init__(self) -> None:
        self.basis: Basis | None = None
        self.chunks: list[FloatArray] = []

    def memorize_chunk(self, x: Any, *args: Any, **options: Any) -> None:
        self.request = self.describe(x, *args, **options)
        self.chunks.append(_abscissae(x))

    def memorize_finish(self) -> None:
        self.basis = self.request.learn(np.concatenate(self.chunks))
        del self.chunks, self.request

    def transform(self, x: Any, *args: Any, **options: Any) -> FloatArray:
        assert self.basis is not None  # patsy finishes before it transforms
        return self.describe(x, *args, **options).of(self.basis, _abscissae(x))


def _stateful(describe: Callable[P, Columns]) -> Callable[P, Any]:
    """Make a transform of the function that describes its columns: for patsy, for formulaic, and to be called by itself."""
    name = describe.__name__

    @wraps(describe)
    def transform(*args: Any, **options: Any) -> Any:
        state = options.pop("_state", None)
        for of_formulaic in ("_metadata", "_spec", "_context"):
            options.pop(of_formulaic, None)
        request = cast(Any, describe)(*args, **options)
        x = args[0] if args else options["x"]
        points = _abscissae(x)
        if state is None:
            # patsy evaluates factors with names in a class of its own
            if request.learns and type(sys._getframe(1).f_locals).__module__ == "patsy.eval":
                raise SpecificationError(
                    f"patsy stores knots for a bare name only, and would place them anew for new data; write {name}(...) after "
                    f"from smoothfit.basis import {name}"
                )
            return _frame(request.of(request.learn(points), points), name, x)
        _tell_formulaic()
        if "basis" not in state:
            state["basis"] = request.learn(points)
        return request.of(state["basis"], points)

    marked = cast(Any, transform)
    marked.__patsy_stateful_transform__ = type(f"Memory of {name}", (Memory,), {"describe": staticmethod(describe)})
    marked.__is_stateful_transform__ = True
    marked.get_required_variables = lambda *args, **options: ()
    TRANSFORMS[name] = transform
    return transform


def _tell_formulaic() -> None:
    """Add the transforms to those that formulaic has by name; names already there stay.

    statsmodels predicts from new data in a namespace without the names that the caller had when the model was made.
    """
    known = sys.modules["formulaic.transforms"].TRANSFORMS
    for name, transform in TRANSFORMS.items():
        known.setdefault(name, transform)


def _frame(columns: FloatArray, name: str, x: Any) -> Any:
    """Columns with names, on the index of x."""
    import pandas as pd

    is_series = isinstance(x, pd.Series)
    label = f"{name}({x.name})" if is_series and x.name is not None else name
    names = [f"{label}[{j}]" for j in range(columns.shape[1])]
    return pd.DataFrame(columns, index=x.index if is_series else None, columns=names, copy=False)


@_stateful
def bsp(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = False,
    boundary: tuple[float, float] | None = None,
    deriv: int = 0,
    integral: bool = False,
    extrapolate: str = "error",
) -> Columns:
    """Columns of B-splines, in a formula or by themselves.

    In a formula the knots are learned from the data that a model is made of, and remembered for new data. patsy does so for
    the bare name only: import it, ``from smoothfit.basis import bsp``.

    Parameters
    ----------
    x : array_like, shape (n,)
        Values of x. Where x is missing the row is NaN, and the formula engine treats it as it treats missing values.
    df : int, optional
        Number of columns; the inner knots are put at quantiles of x, df - degree - intercept of them.
    knots : array_like, optional
        Inner knots, instead of `df`; by default there are none.
    degree : int
        Degree of the pieces, 0 to 10.
    intercept : bool
        Whether to keep the first function. All functions together sum to one, so that without it the columns are independent
        of a constant.
    boundary : (float, float), optional
        Ends of the domain; by default the smallest and the largest x that the knots are learned from.
    deriv : int
        Order of the derivative: the columns are derivatives of those with ``deriv=0``.
    integral : bool
        Whether the columns are the integrals, from the lower boundary to x, instead.
    extrapolate : str
        What the columns are beyond the boundary, as for `BSplineBasis`: by default an x there is an error.

    Returns
    -------
    pandas.DataFrame, shape (n, df)
        Outside a formula. In a formula, the engine converts the columns as all others.

    Raises
    ------
    SpecificationError
        `df` is too small for the degree, or options contradict each other.
    DataError
        An x is infinite or beyond the boundary, or x is not numeric.
    KnotError
        x has too few distinct values for `df`, or `knots` do not increase inside the boundary.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import statsmodels.formula.api as smf
    >>> from smoothfit.basis import bsp
    >>> data = pd.DataFrame({"x": np.linspace(0, 6, 50)})
    >>> data["y"] = np.sin(data["x"])
    >>> res = smf.ols("y ~ bsp(x, df=8)", data).fit()
    >>> res.predict(pd.DataFrame({"x": [1.0, 2.0]})).round(2).tolist()
    [0.84, 0.91]
    >>> bsp(data["x"], df=3).iloc[-1]
    bsp(x)[0]    0.0
    bsp(x)[1]    0.0
    bsp(x)[2]    1.0
    Name: 49, dtype: float64
    """
    return Columns("bsp", BSplineBasis, df, knots, degree, intercept, boundary, deriv, integral, extrapolate)


@_stateful
def nsp(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = False,
    boundary: tuple[float, float] | None = None,
    deriv: int = 0,
    integral: bool = False,
    extrapolate: str = "linear",
) -> Columns:
    """Columns of natural cubic splines, straight beyond the boundary; see `NaturalSplineBasis`.

    The options and errors are those of `bsp`, except that `degree` is 3, and that by default the columns go on linearly
    beyond the boundary. There are df - 1 - intercept inner knots.

    Examples
    --------
    >>> from smoothfit.basis import nsp
    >>> columns = nsp([0, 1, 2, 3, 4, 5, 6, 7], knots=[2], boundary=(0, 4))
    >>> bool((abs(columns.iloc[4:].diff().diff().dropna()) < 1e-14).all(axis=None))
    True
    """
    return Columns("nsp", NaturalSplineBasis, df, knots, degree, intercept, boundary, deriv, integral, extrapolate)


@_stateful
def msp(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = False,
    boundary: tuple[float, float] | None = None,
    deriv: int = 0,
    integral: bool = False,
    extrapolate: str = "error",
) -> Columns:
    """Columns of M-splines, B-splines scaled to integral one; see `MSplineBasis`. The options and errors are those of `bsp`.

    Examples
    --------
    >>> from smoothfit.basis import msp
    >>> msp([0, 1, 2], degree=1, knots=[1], intercept=True)
       msp[0]  msp[1]  msp[2]
    0     2.0     0.0     0.0
    1     0.0     1.0     0.0
    2     0.0     0.0     2.0
    """
    return Columns("msp", MSplineBasis, df, knots, degree, intercept, boundary, deriv, integral, extrapolate)


@_stateful
def isp(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = True,
    boundary: tuple[float, float] | None = None,
    deriv: int = 0,
    integral: bool = False,
    extrapolate: str = "error",
) -> Columns:
    """Columns of I-splines, which rise from 0 to 1: with nonnegative coefficients the sum is monotone; see `ISplineBasis`.

    The options and errors are those of `bsp`, except that by default all functions are kept: they do not span the constant.
    `degree` is that of the M-splines whose integrals they are, 0 to 9.

    Examples
    --------
    >>> from smoothfit.basis import isp
    >>> isp([0, 1, 2], degree=1, knots=[1])
       isp[0]  isp[1]  isp[2]
    0     0.0     0.0     0.0
    1     1.0     0.5     0.0
    2     1.0     1.0     1.0
    """
    return Columns("isp", ISplineBasis, df, knots, degree, intercept, boundary, deriv, integral, extrapolate)


@_stateful
def csp(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = True,
    boundary: tuple[float, float] | None = None,
    deriv: int = 0,
    integral: bool = False,
    extrapolate: str = "error",
) -> Columns:
    """Columns of C-splines, convex and rising to 1: with nonnegative coefficients the sum is convex; see `CSplineBasis`.

    The options and errors are those of `bsp`, except that by default all functions are kept: they do not span the constant.
    `degree` is that of the M-splines whose double integrals they are, 0 to 8.

    Examples
    --------
    >>> from smoothfit.basis import csp
    >>> csp([0, 1, 2], degree=0, knots=[1]).round(3)
       csp[0]  csp[1]
    0   0.000     0.0
    1   0.333     0.0
    2   1.000     1.0
    """
    return Columns("csp", CSplineBasis, df, knots, degree, intercept, boundary, deriv, integral, extrapolate)


@_stateful
def bpoly(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = False,
    boundary: tuple[float, float] | None = None,
    deriv: int = 0,
    integral: bool = False,
    extrapolate: str = "error",
) -> Columns:
    """Columns of Bernstein polynomials, which are one piece; see `BernsteinBasis`.

    The options and errors are those of `bsp`, except that there are no inner knots: `knots` stays None, and `df` sets the degree
    in place of `degree`, df columns being of degree df, or df - 1 with intercept.

    Examples
    --------
    >>> from smoothfit.basis import bpoly
    >>> bpoly([0, 1, 2], degree=2)
       bpoly[0]  bpoly[1]
    0       0.0      0.00
    1       0.5      0.25
    2       0.0      1.00
    """
    return Columns("bpoly", BernsteinBasis, df, knots, degree, intercept, boundary, deriv, integral, extrapolate)


@_stateful
def psp(
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = False,
    boundary: tuple[float, float] | None = None,
    deriv: int = 0,
    integral: bool = False,
    extrapolate: str = "periodic",
) -> Columns:
    """Columns of periodic B-splines; see `PeriodicBSplineBasis`.

    The options and errors are those of `bsp`, except that an x beyond the boundary is reduced to it: `boundary` is one period,
    whose two ends are the same point, and by default the range of x. There are df - intercept inner knots.

    Examples
    --------
    Hour 25 is hour 1:

    >>> from smoothfit.basis import psp
    >>> day = psp([1, 7, 25], knots=[6, 12, 18], boundary=(0, 24))
    >>> bool((day.iloc[0] == day.iloc[2]).all())
    True
    """
    return Columns("psp", PeriodicBSplineBasis, df, knots, degree, intercept, boundary, deriv, integral, extrapolate)

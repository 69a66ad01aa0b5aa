"""Formulas with splines: the transforms, and designs that pickle.

::

    import statsmodels.formula.api as smf
    from smoothfit.basis.formula import bsp

    res = smf.ols("y ~ bsp(x, df=6)", df).fit()   # by patsy or by formulaic
    res.predict(new)                              # with the knots of df

patsy, the default of statsmodels, cannot pickle what it has learned, and formulaic leaves the pieces to the
user. A `DesignSpec` keeps what a design needs, the bases with their knots among it, and makes the same matrix in another process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, Literal, NamedTuple, NoReturn, Self

import narwhals.stable.v1 as nw
import numpy as np

from .._frames import library_of
from .._validation import Frozen, check_choice, described, shown
from ..errors import DataError, SmoothfitError, SpecificationError
from .base import Basis
from .transforms import TRANSFORMS, bpoly, bsp, csp, isp, msp, nsp, psp

__all__ = ["DesignSpec", "bpoly", "bsp", "csp", "isp", "msp", "nsp", "psp"]

Engine = Literal["patsy", "formulaic"]


@dataclass(frozen=True, eq=False)
class DesignSpec(Frozen):
    """How a formula makes a design matrix of data: terms, levels of categories, and bases with their knots.

    It is made by `from_formula`, or by `of` from what patsy, formulaic or statsmodels have made. It pickles with either engine,
    and a fresh process makes of the same data the same matrix, bit for bit. A pickle is code: load those only that you trust.

    Attributes
    ----------
    formula : str
        The right side of the formula.
    engine : {"patsy", "formulaic"}
        What evaluates it. The two order terms and columns differently.
    context : mapping
        What the formula uses besides columns of the data, the transforms of smoothfit and ``np``.

    Examples
    --------
    >>> import pickle
    >>> import numpy as np, pandas as pd
    >>> from smoothfit.basis.formula import DesignSpec
    >>> data = pd.DataFrame({"x": np.linspace(0, 1, 20), "g": list("ab") * 10})
    >>> spec = pickle.loads(pickle.dumps(DesignSpec.from_formula("g + nsp(x, df=2)", data)))
    >>> spec.column_names
    ('Intercept', 'g[T.b]', 'nsp(x, df=2)[0]', 'nsp(x, df=2)[1]')
    >>> spec.bases["nsp(x, df=2)"].inner_knots
    array([0.5])
    >>> spec.design(pd.DataFrame({"x": [0.0], "g": ["b"]})).to_numpy()
    array([[1., 1., 0., 0.]])
    """

    formula: str
    engine: Engine
    context: Mapping[str, Any] = field(repr=False)
    state: Any = field(repr=False)

    @classmethod
    def from_formula(cls, formula: str, data: Any, engine: Engine = "patsy", context: Mapping[str, Any] | None = None) -> Self:
        """Learn a design from data.

        Parameters
        ----------
        formula : str
            Terms such as ``"C(g):bsp(x, df=5) + z"``; a left side and ``~`` may stand before them and are left out.
        data : pandas.DataFrame or mapping
            The columns that the formula uses.
        engine : {"patsy", "formulaic"}
            What evaluates the formula.
        context : mapping, optional
            What else the formula uses, by name: functions of a module, arrays of knots; all must pickle. Columns of the data,
            the transforms of smoothfit and ``np`` are known anyway.

        Raises
        ------
        SpecificationError
            The engine is unknown, or the context contains a module, which does not pickle.
        ImportError
            The engine is not installed.

        Notes
        -----
        The engine evaluates the formula as Python code: never pass one from an untrusted source. Names and values of columns are
        not evaluated.

        Examples
        --------
        >>> import pandas as pd
        >>> from smoothfit.basis.formula import DesignSpec
        >>> spec = DesignSpec.from_formula("y ~ bsp(x, df=2, degree=1)", pd.DataFrame({"x": [0.0, 1.0, 2.0]}))
        >>> spec.formula, spec.column_names
        ('1 + bsp(x, df=2, degree=1)', ('Intercept', 'bsp(x, df=2, degree=1)[0]', 'bsp(x, df=2, degree=1)[1]'))
        """
        names = _checked(context)
        if not isinstance(formula, str):
            raise SpecificationError(f"formula is {shown(formula)}; pass a string, such as 'bsp(x, df=5) + z'")
        _check_columns(data)
        try:
            if _import(engine) == "patsy":
                import patsy

                terms = patsy.ModelDesc.from_formula(formula).rhs_termlist
                learned: Any = patsy.dmatrix(
                    patsy.ModelDesc([], terms), _for_patsy(data), patsy.EvalEnvironment([_names(names)])
                ).design_info
            else:
                from formulaic import Formula, model_matrix

                parsed = Formula(formula)
                learned = model_matrix(getattr(parsed, "rhs", parsed), data, context=_names(names)).model_spec
        except Exception as error:
            _raise_ours(error, SpecificationError, f"the engine cannot make a design of formula {formula!r}")
        return cls.of(learned, names)

    @classmethod
    def of(cls, learned: Any, context: Mapping[str, Any] | None = None) -> Self:
        """Take over what an engine has learned.

        Parameters
        ----------
        learned : patsy.DesignInfo or formulaic.ModelSpec
            Such as ``res.model.data.model_spec`` of a result of statsmodels made from a formula.
        context : mapping, optional
            As for `from_formula`.

        Examples
        --------
        >>> import pandas as pd, patsy
        >>> from smoothfit.basis.formula import DesignSpec, bsp
        >>> matrix = patsy.dmatrix("bsp(x, df=2, degree=1)", pd.DataFrame({"x": [0.0, 1.0, 2.0]}))
        >>> DesignSpec.of(matrix.design_info).design(pd.DataFrame({"x": [0.5]})).to_numpy()
        array([[1. , 0.5, 0. ]])
        """
        names, engine = _checked(context), type(learned).__module__.split(".")[0]
        if engine == "patsy" and hasattr(learned, "factor_infos"):
            return cls(learned.describe(), "patsy", names, _PatsyDesign.of(learned))
        if engine == "formulaic" and hasattr(learned, "transform_state"):
            return cls(str(learned.formula), "formulaic", names, learned)
        raise SpecificationError(
            f"a design is made of a DesignInfo of patsy or a ModelSpec of formulaic, not of {described(learned)}"
        )

    def design(self, data: Any, na_action: Literal["drop", "raise"] = "drop") -> Any:
        """Return the design matrix of data.

        Parameters
        ----------
        data : pandas.DataFrame or mapping
            The columns that the formula uses.
        na_action : {"drop", "raise"}
            Whether rows with missing values are dropped, as the index of the result shows, or are an error.

        Returns
        -------
        pandas.DataFrame, shape (n, len(column_names))

        Examples
        --------
        >>> import pandas as pd
        >>> from smoothfit.basis.formula import DesignSpec
        >>> spec = DesignSpec.from_formula("bsp(x, df=2, degree=1)", pd.DataFrame({"x": [0.0, 1.0, 2.0]}))
        >>> spec.design(pd.DataFrame({"x": [0.5, 1.5]})).to_numpy()
        array([[1. , 0.5, 0. ],
               [1. , 0.5, 0.5]])
        """
        _check_columns(data)
        check_choice(na_action, "na_action", ("drop", "raise"))
        try:
            if _import(self.engine) == "patsy":
                import patsy

                (matrix,) = patsy.build_design_matrices(
                    [self._design_info], _for_patsy(data), NA_action=na_action, return_type="dataframe"
                )
                return matrix
            import pandas as pd

            made = self.state.get_model_matrix(data, context=_names(self.context), na_action=na_action, output="pandas")
            return pd.DataFrame(made)
        except Exception as error:
            _raise_ours(error, DataError, f"{self.engine} cannot make the design {self.formula!r} of these data")

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of a design."""
        return tuple(self.state.column_names)

    @property
    def bases(self) -> dict[str, Basis]:
        """The bases by the calls in the formula that made them."""
        kept = self.state.transforms() if self.engine == "patsy" else self.state.transform_state
        return {call: state["basis"] for call, state in kept.items() if isinstance(state.get("basis"), Basis)}

    @cached_property
    def _design_info(self) -> Any:
        return self.state.rebuilt(_names(self.context))


class _Factor(NamedTuple):
    """What patsy has learned of a factor."""

    kind: str
    n_columns: int | None
    categories: tuple[Any, ...] | None
    transforms: dict[str, tuple[str, dict[str, Any]]]  # name of the object -> the call, and its state


class _Coding(NamedTuple):
    """How patsy codes a product of factors: contrast matrices of the categorical ones with names of their columns."""

    factors: tuple[str, ...]
    contrasts: dict[str, tuple[Any, list[str]]]
    n_columns: int


class _PatsyDesign(NamedTuple):
    """A design of patsy in parts that pickle."""

    column_names: tuple[str, ...]
    factors: dict[str, _Factor]  # by code
    terms: tuple[tuple[tuple[str, ...], tuple[_Coding, ...]], ...]

    @classmethod
    def of(cls, info: Any) -> Self:
        factors = {factor.code: _factor(known) for factor, known in info.factor_infos.items()}
        terms = tuple(
            (tuple(factor.code for factor in term.factors), tuple(_coding(part) for part in parts))
            for term, parts in info.term_codings.items()
        )
        return cls(tuple(info.column_names), factors, terms)

    def transforms(self) -> dict[str, dict[str, Any]]:
        """The learned state of the transforms, by their calls."""
        return {call: state for factor in self.factors.values() for call, state in factor.transforms.values()}

    def rebuilt(self, names: Mapping[str, Any]) -> Any:
        """Make the DesignInfo."""
        from patsy import DesignInfo, EvalEnvironment, EvalFactor, FactorInfo, Term

        factors = {code: EvalFactor(code) for code in self.factors}
        infos = {}
        for code, known in self.factors.items():
            state: dict[str, Any] = {}
            factors[code].memorize_passes_needed(state, EvalEnvironment([dict(names)]))
            for name, (_, remembered) in known.transforms.items():
                vars(state["transforms"][name]).update(remembered)
            infos[factors[code]] = FactorInfo(factors[code], known.kind, state, known.n_columns, known.categories)
        codings = OrderedDict(  # patsy insists
            (Term([factors[code] for code in codes]), [_subterm(part, factors) for part in parts]) for codes, parts in self.terms
        )
        return DesignInfo(list(self.column_names), infos, codings)


def _factor(known: Any) -> _Factor:
    transforms = {}
    for name, transform in known.state["transforms"].items():
        text = known.state["memorize_code"][name].removeprefix(f"{name}.memorize_chunk")
        called = name.removeprefix("_patsy_stobj").split("__", 1)[1].removesuffix("__")
        transforms[name] = (called + text, dict(vars(transform)))
    return _Factor(known.type, known.num_columns, known.categories, transforms)


def _coding(part: Any) -> _Coding:
    contrasts = {factor.code: (np.array(c.matrix), list(c.column_suffixes)) for factor, c in part.contrast_matrices.items()}
    return _Coding(tuple(factor.code for factor in part.factors), contrasts, part.num_columns)


def _subterm(part: _Coding, factors: Mapping[str, Any]) -> Any:
    from patsy import ContrastMatrix, SubtermInfo

    contrasts = {factors[code]: ContrastMatrix(matrix, suffixes) for code, (matrix, suffixes) in part.contrasts.items()}
    return SubtermInfo([factors[code] for code in part.factors], contrasts, part.n_columns)


def _checked(context: Mapping[str, Any] | None) -> dict[str, Any]:
    if context is not None and not isinstance(context, Mapping):
        raise SpecificationError(f"context is {shown(context)}; pass a mapping from names to what they mean")
    names = dict(context or {})
    for name, value in names.items():
        if isinstance(value, ModuleType):
            raise SpecificationError(
                f"context[{name!r}] is a module, which does not pickle; pass the functions that the formula uses"
            )
    return names


def _names(context: Mapping[str, Any]) -> dict[str, Any]:
    """All names that a formula may use besides columns of the data."""
    return {"np": np, **TRANSFORMS, **context}


def _import(engine: str) -> str:
    try:
        if not isinstance(engine, str):
            raise SpecificationError(f"engine is {shown(engine)}; pass 'patsy' or 'formulaic'")
        if engine == "patsy":
            import patsy  # noqa: F401
        elif engine == "formulaic":
            import formulaic  # noqa: F401
        else:
            raise SpecificationError(f"engine is {shown(engine)}; pass 'patsy' or 'formulaic'")
    except ImportError as error:
        raise ImportError(f"engine={engine!r} needs {engine}: pip install {engine}") from error
    return engine


def _check_columns(data: Any) -> None:
    if not isinstance(data, Mapping) and not hasattr(data, "columns"):
        raise DataError(f"data is {type(data).__name__}; pass a DataFrame, or a mapping from names to columns")


def _for_patsy(data: Any) -> Any:
    """Data as patsy takes them: of Polars and PyArrow, which it does not support, a mapping to arrays."""
    frame = nw.from_native(data, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame) or library_of(data) == "pandas":
        return data
    return {name: frame.get_column(name).to_numpy() for name in frame.columns}


def _raise_ours(error: Exception, kind: type[SmoothfitError], what: str) -> NoReturn:
    """Raise the error of smoothfit that an engine has wrapped in its own, or one of a kind that repeats the engine's message."""
    if isinstance(error.__cause__, SmoothfitError):
        raise error.__cause__ from None
    if isinstance(error, (SmoothfitError, ImportError, MemoryError)):
        raise error
    raise kind(f"{what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error

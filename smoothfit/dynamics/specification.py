"""Which differential equation is meant: its order, its regressors, and how inputs go on between their samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._validation import FloatArray, check_choice, check_order, shown
from ..errors import SmoothfitError, SpecificationError

HIGHEST_ORDER = 6  # of a scalar equation; order times number of outputs is the size of the state
INTERSAMPLE = ("zoh", "foh")


@entry_point
@dataclass(frozen=True, eq=False)
class Term:
    """A non-linear regressor g(y, t).

    Attributes
    ----------
    name : str
    function : callable
        ``function(y, t)`` with y the list of the curve and its derivatives below the order, each an array (n,), and t (n,), as
        numbers in the unit of t; returns (n,). y[0] is the curve, y[1] its first derivative.
    rates : bool
        Whether it takes derivatives, so that methods for y alone refuse it.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> drag = sf.dynamics.Term("drag", lambda y, t: np.abs(y[1]) * y[1], rates=True)
    >>> drag([np.zeros(3), np.array([-1.0, 0.0, 2.0])], np.zeros(3))
    array([-1.,  0.,  4.])
    """

    name: str
    function: Callable[[Sequence[FloatArray], FloatArray], npt.ArrayLike]
    rates: bool = False

    def __call__(self, y: Sequence[FloatArray], t: FloatArray) -> FloatArray:
        """Values of the term, shape (n,)."""
        takes = "its function takes y, the list of the curve y[0] and its derivatives, and t, and returns a number a row"
        try:
            with np.errstate(all="ignore"):  # searches try it beyond its domain; where it is not finite at the data is named
                values = np.asarray(self.function(y, t))
        except SmoothfitError:
            raise
        except Exception as error:
            raise SpecificationError(f"the term {self.name!r} raises {type(error).__name__} ({error}); {takes}") from error
        if values.dtype.kind not in "biuf":
            raise SpecificationError(f"the term {self.name!r} returns {values.dtype}, which is no real number; {takes}")
        if values.shape not in ((), np.shape(t)):
            raise SpecificationError(f"the term {self.name!r} returns shape {values.shape} where t has {np.shape(t)}; {takes}")
        return np.broadcast_to(values.astype(float), np.shape(t))


def derivative_name(name: str, order: int) -> str:
    """``y``, ``D(y)``, ``D(y, 2)``, ..."""
    return name if order == 0 else f"D({name})" if order == 1 else f"D({name}, {order})"


class Known(NamedTuple):
    """What is known of a coefficient, by its place: a normal prior, or its value if sd is zero."""

    place: int
    mean: float
    sd: float


class Bound(NamedTuple):
    """Between which values a coefficient lies, by its place."""

    place: int
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Equation:
    """y^(m) = sum_j a_j y^(j) + sum_i sum_l b_il u_i^(l) + sum_r c_r g_r(y, t) + gamma, for each output y.

    Attributes
    ----------
    order : int
        m, the order of the equation.
    outputs : tuple of str
        Names of y; of several, each equation has the derivatives of all on its right.
    derivatives : tuple of int
        The orders j on the right.
    inputs : tuple of str
        Names of the columns of u.
    terms : tuple of Term
    intercept : bool
    intersample : {"zoh", "foh"}
        Inputs are held between their samples ("zoh") or go on linearly ("foh").
    input_derivatives : tuple of int
        The highest derivative of each input on the right, at most m; empty if there is none.
    known : tuple of Known
    bounds : tuple of Bound
    hidden : int
        How many of the m states are hidden. If there are some, every state has a process noise of its own.
    intensities : tuple of float
        Known intensities of the process noises, in the order of `noise_names`, NaN where they are estimated; empty if all are.
    levels : tuple of float
        From which the outputs and inputs of an equation by state are counted; empty if that is zero.

    Notes
    -----
    The state is (y, y', ..., y^(m-1)), outputs within orders: y_l^(j) has the index j p + l. Where derivatives of inputs of order r
    are on the right, those above m - r are without the impulses of the inputs (see `drives`). Parameters come equation by equation,
    each in the order: derivatives (outputs within orders), inputs, their derivatives (inputs within orders), terms, intercept.

    With hidden states the state is that of the observer form (T. Kailath 1980, "Linear systems", section 2.1), k = 1 .. m,

        x_k' = a_(m-k) x_1 + x_(k+1) + b_(m-k) u + sqrt(q_(m-k)) w_k,    y = x_1,    x_(m+1) = gamma,

    so that the noise of state k drives y through s^(m-k) / D(s), D(s) = s^m - sum_j a_j s^j: the equation has the derivative of
    order m - k of a white noise on the right. With b_m, y moves at once with u (see `drives`).
    """

    order: int
    outputs: tuple[str, ...]
    derivatives: tuple[int, ...]
    inputs: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    intercept: bool = True
    intersample: str = "zoh"
    input_derivatives: tuple[int, ...] = ()
    known: tuple[Known, ...] = ()
    bounds: tuple[Bound, ...] = ()
    hidden: int = 0
    intensities: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_order(self.order, "order", 1, HIGHEST_ORDER)
        if self.n_states > HIGHEST_ORDER:
            raise SpecificationError(
                f"order {self.order} with {len(self.outputs)} outputs is a state of {self.n_states}; at most {HIGHEST_ORDER}"
            )
        check_choice(self.intersample, "intersample", INTERSAMPLE)
        for j in self.derivatives:
            check_order(j, "derivatives", 0, self.order - 1)
        if len(set(self.derivatives)) < len(self.derivatives):
            raise SpecificationError(f"derivatives is {self.derivatives}; name each order once")
        for j in self.input_derivatives:
            check_order(j, "input_derivatives", 0, self.order)
        names = self.names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise SpecificationError(f"two regressors are called {repeated[0]!r}; rename a column of u or a term")
        if not names:
            raise SpecificationError("the right side is empty; add derivatives, inputs or an intercept")

    @property
    def n_outputs(self) -> int:
        """Number of outputs p."""
        return len(self.outputs)

    @property
    def n_states(self) -> int:
        """Size of the state: m p, less what the last outputs lack if hidden states are no multiple of the outputs."""
        p = len(self.outputs)
        return self.order * p - -self.hidden % p

    @property
    def is_by_state(self) -> bool:
        """Whether the parameters are entries of A and B."""
        return False

    @property
    def visible_order(self) -> int:
        """The order less what hidden states add to it."""
        return self.order - -(-self.hidden // len(self.outputs))

    @property
    def n_noises(self) -> int:
        """Number of process noises: one by output, or one by state if some are hidden."""
        return self.n_states if self.hidden else len(self.outputs)

    @property
    def noise_names(self) -> list[str]:
        """Names of the intensities of the process noises: those of derivatives of white noise by their order."""
        if self.hidden:
            return [f"q{j}" for j in reversed(range(self.order))]
        return ["q"] if len(self.outputs) == 1 else [f"q.{name}" for name in self.outputs]

    @property
    def is_known_noise(self) -> npt.NDArray[np.bool_]:
        """Which process noises have known intensities, shape (n_noises,)."""
        return np.isfinite(self.intensities) if self.intensities else np.zeros(self.n_noises, np.bool_)

    def with_known_noises(self, variances: FloatArray) -> FloatArray:
        """Variances (..., n_noises + others), the intensities first, with those intensities that are known."""
        found = variances.copy()
        if self.intensities:
            known = np.flatnonzero(self.is_known_noise)
            found[..., known] = np.array(self.intensities)[known]
        return found

    @property
    def noise_orders(self) -> FloatArray:
        """How many integrals of a process noise its output is, shape (n_noises,)."""
        return np.arange(1.0, self.order + 1) if self.hidden else np.full(len(self.outputs), float(self.order))

    @property
    def noise_outputs(self) -> npt.NDArray[np.int64]:
        """The output that a process noise is integrated to, shape (n_noises,)."""
        return np.zeros(self.order, np.int64) if self.hidden else np.arange(len(self.outputs))

    @property
    def n_drives(self) -> int:
        """Number of columns that drive the equation: inputs, and a column of ones for the intercept."""
        return len(self.inputs) + self.intercept

    @property
    def regressors(self) -> tuple[str, ...]:
        """Names of the right side of one equation."""
        curves = [derivative_name(name, j) for j in sorted(self.derivatives) for name in self.outputs]
        inputs = (*self.inputs, *(derivative_name(self.inputs[i], j) for j, i in self.input_rates))
        return (*curves, *inputs, *(term.name for term in self.terms), *(["const"] if self.intercept else []))

    @property
    def input_rates(self) -> list[tuple[int, int]]:
        """Order and input of each derivative of an input on the right."""
        orders = self.input_derivatives
        return [(j, i) for j in range(1, max(orders, default=0) + 1) for i, highest in enumerate(orders) if highest >= j]

    @property
    def is_ramped(self) -> bool:
        """Whether there are inputs that go on linearly between samples."""
        return self.intersample == "foh" and bool(self.inputs)

    @property
    def takes_changes(self) -> bool:
        """Whether the state moves with the change of an input over a step, and not with its value at the start of it alone."""
        return self.is_ramped or self.jumps

    @property
    def jumps(self) -> bool:
        """Whether the state jumps where an input does."""
        return max(self.input_derivatives, default=0) >= (self.order if self.hidden else 1)

    @property
    def highest_derivative(self) -> int:
        """The highest derivative of y that is a function: one below the order, and below where inputs or noises add impulses."""
        return 0 if self.hidden else self.order - max([1, *self.input_derivatives])

    @property
    def names(self) -> list[str]:
        if len(self.outputs) == 1:
            return list(self.regressors)
        return [f"{output}: {regressor}" for output in self.outputs for regressor in self.regressors]

    @property
    def left(self) -> tuple[str, ...]:
        """Names of the left sides."""
        return tuple(derivative_name(name, self.order) for name in self.outputs)

    @property
    def n_params(self) -> int:
        return len(self.outputs) * len(self.regressors)

    def matrices(self, theta: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """A (M, M) of the first-order form and B (noises, drives) of the rows of `entry`; parameters may be complex.

        Terms are left out.
        """
        if self.hidden:
            return self._observer_form(np.asarray(theta))
        p, m, k = len(self.outputs), self.order, len(self.inputs)
        rows = np.asarray(theta).reshape(p, -1)
        system = np.zeros((m * p, m * p), dtype=rows.dtype)
        system[: (m - 1) * p, p:] = np.eye((m - 1) * p)
        for i, j in enumerate(sorted(self.derivatives)):
            system[(m - 1) * p :, j * p : (j + 1) * p] = rows[:, i * p : (i + 1) * p]
        start = len(self.derivatives) * p
        drives = rows[:, start : start + k]
        if self.intercept:
            drives = np.column_stack([drives, rows[:, -1]])
        return system, drives

    def _observer_form(self, theta: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """A (M, M) and B (M, drives) of an equation with hidden states."""
        m, k = self.order, len(self.inputs)
        system, drives = np.zeros((m, m), dtype=theta.dtype), np.zeros((m, self.n_drives), dtype=theta.dtype)
        system[:-1, 1:] = np.eye(m - 1)
        derivatives = sorted(self.derivatives)
        system[m - 1 - np.array(derivatives, int), 0] = theta[: len(derivatives)]
        drives[m - 1, :k] = theta[len(derivatives) : len(derivatives) + k]
        for j, rate in enumerate(self.rates(theta)[: m - 1], 1):
            drives[m - 1 - j, :k] = rate[0]
        if self.intercept:
            drives[m - 1, k] = theta[-1]
        return system, drives

    def rates(self, theta: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Coefficients of the derivatives of the inputs by order, (highest order, p, inputs)."""
        p = len(self.outputs)
        rows = np.asarray(theta).reshape(p, -1)
        found = np.zeros((max(self.input_derivatives, default=0), p, len(self.inputs)), dtype=rows.dtype)
        start = len(self.derivatives) * p + len(self.inputs)
        for column, (j, i) in enumerate(self.input_rates, start):
            found[j - 1, :, i] = rows[:, column]
        return found

    @property
    def entry(self) -> FloatArray:
        """Where drives and noises enter: (M, p), ones in the last p rows; (M, M) if there are hidden states."""
        if self.hidden:
            return np.eye(self.n_states)
        p = len(self.outputs)
        entry = np.zeros((self.n_states, p))
        entry[-p:] = np.eye(p)
        return entry

    @property
    def in_system(self) -> npt.NDArray[np.bool_]:
        """Which parameters enter A rather than B, shape (n_params,)."""
        width = len(self.regressors)
        one = np.arange(width) < len(self.derivatives) * len(self.outputs)
        return np.tile(one, len(self.outputs))

    def sizes(self, rate: float, span: float, sds: FloatArray) -> FloatArray:
        """Sizes of the coefficients in A if all poles are at a rate, of outputs of SDs `sds` (p,)."""
        orders = [j for j in sorted(self.derivatives) for _ in self.outputs] * len(self.outputs)
        sizes = np.array([comb(self.order, j) * rate ** (self.order - j) for j in orders])
        return np.asarray(sizes * self.coefficient_units(sds)[self.in_system])

    def coefficient_units(self, units: FloatArray) -> FloatArray:
        """Units of the coefficients (n_params,), if those of the outputs are `units` (p,) and all others one."""
        columns = np.ones(len(self.regressors))
        columns[: len(self.derivatives) * len(units)] = np.tile(units, len(self.derivatives))
        return np.asarray((units[:, None] / columns).ravel())

    def seen(self) -> Equation:
        """The equation whose state is y and its derivatives."""
        return replace(self, hidden=0)

    def of_seen(self, theta: FloatArray) -> FloatArray:
        """Coefficients (L, k) in A of `seen` from those of this equation."""
        return theta

    def require_linear(self, what: str) -> None:
        """Refuse what only linear equations have."""
        if self.terms:
            raise SpecificationError(
                f"{what} is of linear equations; this one has the term {self.terms[0].name}: use simulate(), or "
                'get_prediction() and forecast() of method="output_error"'
            )

    @property
    def is_fixed(self) -> npt.NDArray[np.bool_]:
        """Which coefficients have known values, shape (n_params,)."""
        found = np.zeros(self.n_params, np.bool_)
        found[[one.place for one in self.known if one.sd == 0]] = True
        return found

    @property
    def stated(self) -> list[int]:
        """Places of the coefficients that are known or bounded."""
        return [*(one.place for one in self.known), *(one.place for one in self.bounds)]

    def at_bounds(self, theta: FloatArray) -> dict[int, float]:
        """The bounds that coefficients are at, by place."""
        ends = [(one.place, end) for one in self.bounds for end in (one.lower, one.upper)]
        return {place: end for place, end in ends if theta[place] == end}

    def with_known(self, theta: FloatArray) -> FloatArray:
        """Coefficients with those that are known at their values or at the means of their priors."""
        found = theta.copy()
        for one in self.known:
            found[one.place] = one.mean
        return found

    def misfit(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """-2 log of the priors, less constants, and its first and second derivatives by the coefficients."""
        apart, precision = np.zeros(len(theta)), np.zeros(len(theta))
        for one in self.known:
            if one.sd > 0:
                apart[one.place], precision[one.place] = theta[one.place] - one.mean, one.sd**-2
        return float(precision @ apart**2), 2 * precision * apart, 2 * precision

    def in_words(self, theta: FloatArray) -> list[str]:
        """The fitted equations, for example ``D(y) = -0.0239 y - 0.213 u``."""
        rows = np.asarray(theta).reshape(len(self.outputs), -1)
        return [in_words_of(left, zip(self.regressors, row, strict=True)) for left, row in zip(self.left, rows, strict=True)]


def in_words_of(left: str, terms: Iterable[tuple[str, float]]) -> str:
    """An equation of a left side and of the names and coefficients on its right."""
    text = ""
    for name, value in terms:
        sign = "-" if value < 0 else "+"
        body = f"{abs(value):.4g}" + ("" if name == "const" else f" {name}")
        text += f" {sign} {body}" if text else (f"-{body}" if value < 0 else body)
    return f"{left} = {text}"


def wrapped(line: str, width: int) -> list[str]:
    """An equation in words over several lines, broken before signs."""
    lines: list[str] = []
    for part in re.split(r" (?=[+-] )", line):
        if lines and len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}" if lines else part)
    return lines


def check_terms(terms: Any) -> tuple[Term, ...]:
    """Terms from Term objects or from a mapping of names to functions."""
    if isinstance(terms, Term):
        return (terms,)
    if isinstance(terms, Mapping):
        terms = [Term(str(name), function) for name, function in terms.items()]
    if isinstance(terms, str) or not isinstance(terms, Iterable):
        raise SpecificationError(
            f"terms is {shown(terms)}; pass smoothfit.dynamics.Term objects, or a mapping of names to functions"
        )
    found = tuple(terms)
    for i, term in enumerate(found):
        if not isinstance(term, Term) or not callable(term.function):
            raise SpecificationError(f"terms[{i}] is {term!r}; pass smoothfit.dynamics.Term(name, function)")
    return found


def known_coefficients(equation: Equation, fixed: Any, priors: Any, noises: Sequence[str] = ()) -> tuple[Known, ...]:
    """What is known of coefficients, from mappings of their names to values and to pairs of mean and SD.

    `noises` are other names that `fixed` may have, for the message.
    """
    names, found = equation.names, []
    for argument, given, shape in (("fixed", fixed, ()), ("priors", priors, (2,))):
        besides = f", and noises {', '.join(noises)}" if noises and argument == "fixed" else ""
        if not isinstance(given, (Mapping, NoneType)):
            raise SpecificationError(f"{argument} is {shown(given)}; pass a mapping from names of coefficients to numbers")
        for name, value in (given or {}).items():
            if name not in names:
                raise SpecificationError(f"{argument} has {name!r}, which is no coefficient; they are {', '.join(names)}{besides}")
            try:
                numbers = np.asarray(value, float)
            except (TypeError, ValueError):
                numbers = np.full(1, np.nan)
            if numbers.shape != shape or not np.isfinite(numbers).all() or (shape and not numbers[1] > 0):
                what = "a finite number" if argument == "fixed" else "its mean and its SD, (mean, sd), with sd positive"
                raise SpecificationError(f"{argument}[{name!r}] is {shown(value)}; pass {what}")
            found.append(Known(names.index(name), *(numbers.tolist() if shape else (float(numbers), 0.0))))
    for one in found:
        if sum(other.place == one.place for other in found) > 1:
            raise SpecificationError(f"{names[one.place]!r} is in fixed and in priors; leave it in one of them")
    if sum(one.sd == 0 for one in found) == len(names):
        raise SpecificationError("fixed has every coefficient; leave one of them out to estimate it")
    return tuple(found)


def bounded_coefficients(equation: Equation, given: Any) -> tuple[Bound, ...]:
    """Bounds of coefficients, from a mapping of their names to pairs, None for no bound."""
    if not isinstance(given, (Mapping, NoneType)):
        raise SpecificationError(f"bounds is {shown(given)}; pass a mapping from names of coefficients to pairs (lower, upper)")
    names, found = equation.names, []
    for name, value in (given or {}).items():
        if name not in names:
            raise SpecificationError(f"bounds has {name!r}, which is no coefficient; they are {', '.join(names)}")
        try:
            lower, upper = (infinite if end is None else float(end) for end, infinite in zip(value, (-np.inf, np.inf), strict=True))
        except (TypeError, ValueError):
            lower, upper = np.nan, np.nan
        if not lower < upper:
            raise SpecificationError(
                f"bounds[{name!r}] is {shown(value)}; pass a pair of numbers, the lower one first, None for no bound"
            )
        if any(one.place == names.index(name) and one.sd == 0 for one in equation.known):
            raise SpecificationError(f"{name!r} is in fixed and in bounds; leave it in one of them")
        found.append(Bound(names.index(name), lower, upper))
    return tuple(found)

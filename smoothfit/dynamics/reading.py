"""From what a user passes to runs of observations and inputs on nodes, checked and sorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
import numpy.typing as npt
from narwhals.exceptions import DuplicateError

from .._frames import RowLabels, repeated_columns
from .._validation import FloatArray, first_index, from_sequence, frozen, shown, to_floats, to_nanoseconds, to_vector
from ..errors import DataError, IdentificationError, SpecificationError
from ..observations import Observations
from ..observations.abscissa import Abscissa, check_unit
from ..observations.series import refuse_estimates, refuse_resolution
from .sample import Channel, Sample, between
from .shifts import check_lags, shifted
from .specification import Equation, derivative_name

EXACT = 1e-8  # SD of an initial state that is known exactly, beside the size of the output
FEWEST = 2  # observations of a series that estimate its SD beside others
COLLINEAR = 1e-10  # a column of u is a combination of others where less than this fraction of its length is left


def read_sample(y: Any, t: Any, u: Any, groups: Any, *, lags: Any, delay: Any, intersample: str, unit: str | None) -> Sample:
    """Check what a user passed and put it on nodes. See `DerivativeRegression` for the arguments."""
    if isinstance(y, Observations):
        refuse_resolution(y.readings, "DerivativeRegression")
        refuse_estimates(y.readings, "DerivativeRegression")
        sample = _from_observations(y, t, u, groups, intersample)
    else:
        sample = _from_arrays(y, t, u, groups, unit)
    return shifted(sample, _check_delay(delay), check_lags(lags), intersample)


def with_initial(sample: Sample, order: int, initial: Any) -> Sample:
    """A sample with known initial states: series of one observation each, at the first row of every run.

    `initial` maps names of y and of its derivatives below the order to pairs of value and SD.
    """
    if initial is None:
        return sample
    if not isinstance(initial, Mapping):
        raise SpecificationError(f"initial is {shown(initial)}; pass a mapping from names, such as 'y', to pairs (value, sd)")
    if sample.recorded is not None:
        raise SpecificationError("initial= goes with inputs that act as they are recorded; leave it out, or delay= and lags=")
    states = {derivative_name(name, j): (i, j) for j in range(order) for i, name in enumerate(sample.outputs)}
    channels, columns, ratios = list(sample.channels), [sample.y], [sample.ratio]
    for name, pair in initial.items():
        if name not in states:
            raise SpecificationError(f"initial has {name!r}, which is no state; they are {', '.join(states)}")
        try:
            value, sd = (float(number) for number in pair)
        except (TypeError, ValueError):
            value, sd = np.nan, np.nan
        if not (np.isfinite(value) and np.isfinite(sd) and sd >= 0):
            raise SpecificationError(
                f"initial[{name!r}] is {shown(pair)}; pass its value and its SD, (value, sd), zero if it is exact"
            )
        output, deriv = states[name]
        column = np.full((len(sample), 1), np.nan)
        column[sample.starts] = value
        if sd == 0:
            read = [i for i, channel in enumerate(sample.channels) if channel.output == output]
            size = max(float(np.nanmax(np.abs(sample.y[:, read]), initial=abs(value))), np.finfo(float).tiny)
            sd = EXACT * size / (sample.gap**deriv)
        channels.append(Channel(f"initial {name}", output, deriv, known=True))
        columns.append(column)
        ratios.append(np.full((len(sample), 1), sd**2))
    y, ratio = frozen(np.hstack(columns)), frozen(np.hstack(ratios))
    return replace(sample, y=y, ratio=ratio, channels=tuple(channels))


def check_inputs(sample: Sample, equation: Equation) -> None:
    """Raise if observations never change, or an input is constant beside an intercept, zero, or a combination of others.

    The value of a held input in the last row of a run has no effect, unless it acts at once.
    """
    _check_movement(sample)
    intercept = equation.intercept
    for i in dict.fromkeys(i for _, i in equation.input_rates):
        name, column = sample.inputs[i], sample.u[:, i]
        if not any(np.diff(column[s]).any() for s in sample.slices()):
            raise IdentificationError(
                f"the input {name!r} is constant in each run: the coefficient of {derivative_name(name, 1)} is not identified; "
                "leave that derivative out"
            )
    acting = np.ones(len(sample), np.bool_)
    if not equation.takes_changes:
        acting[sample.edges[1:] - 1] = False
    columns = sample.u[acting]
    if len(columns) <= columns.shape[1] + intercept:  # too few rows, which methods report
        return
    basis: list[FloatArray] = []
    if intercept:
        basis.append(np.full(len(columns), 1 / np.sqrt(len(columns))))
    for name, column in zip(sample.inputs, columns.T, strict=True):
        if not column.any():
            raise IdentificationError(f"the input {name!r} is zero throughout: its coefficient is not identified; leave it out")
        if intercept and np.ptp(column) <= 8 * np.finfo(float).eps * np.abs(column).max():
            raise IdentificationError(
                f"the input {name!r} is constant ({column[0]:g}): it is collinear with the intercept; leave it out, or "
                f"pass intercept=False"
            )
        rest = column / np.linalg.norm(column)
        size = np.linalg.norm(rest - basis[0] * (basis[0] @ rest)) if intercept else 1.0
        for _ in range(2):
            for b in basis:
                rest = rest - b * (b @ rest)
        if np.linalg.norm(rest) <= COLLINEAR * size:
            raise IdentificationError(f"the input {name!r} is a linear combination of those before it; leave one of them out")
        basis.append(rest / np.linalg.norm(rest))


def _check_movement(sample: Sample) -> None:
    """Raise if all observations of an output are one constant; a constant series, as of a known start, may stand beside others."""
    for i, output in enumerate(sample.outputs):
        of_output = [c.output == i for c in sample.channels]
        values = sample.y[:, [own and c.deriv == 0 for own, c in zip(of_output, sample.channels, strict=True)]]
        rates = sample.y[:, [own and c.deriv > 0 for own, c in zip(of_output, sample.channels, strict=True)]]
        known = values[np.isfinite(values)]
        if len(known) and np.ptp(known) == 0 and not np.nan_to_num(rates).any():
            raise IdentificationError(
                f"all observations of {output!r} are {known[0]:g}: without variation no coefficient is identified; is it "
                "the right column?"
            )


def check_series(sample: Sample, equation: Equation) -> None:
    """Raise if observations cannot identify a series' SD, or the constant."""
    several = len(sample.channels) > len(sample.outputs)
    for channel, y in zip(sample.channels, sample.y.T, strict=True):
        count = int(np.isfinite(y).sum())
        if several and not channel.known and count < FEWEST:
            raise DataError(
                f"the series {channel.name!r} has {count} observation{'s' if count > 1 else ''} and no SD, too few to estimate "
                "it; pass sd="
            )
    for i, j in combinations([i for i, channel in enumerate(sample.channels) if not channel.known], 2):
        first, second = sample.channels[i], sample.channels[j]
        rest = sample.y[:, i] - sample.y[:, j]
        rest = rest[np.isfinite(rest)]
        if (first.output, first.deriv) == (second.output, second.deriv) and len(rest) >= FEWEST and not rest.any():
            raise DataError(
                f"{first.name!r} and {second.name!r} are equal wherever both are observed, so that no SD can be estimated; leave "
                "one out, or pass sd="
            )
    lowest = min(channel.deriv for channel in sample.channels)
    below = [j for j in sorted(equation.derivatives) if j < lowest]
    if not (below and equation.intercept):
        return
    channel = next(c for c in sample.channels if c.deriv == lowest)
    output, name = equation.outputs[channel.output], channel.name
    unseen, seen = (derivative_name(output, j) for j in (below[0], lowest))
    right = [f"a{j} {derivative_name(name, j)}" for j in sorted(equation.derivatives)]
    right += [f"b{i + 1} {derivative_name(u, lowest)}" for i, u in enumerate(equation.inputs)]
    raise IdentificationError(
        f"the constant (const) cannot be identified: {name!r} observes {seen} and no observation is of {unseen}, to which any "
        f"number can be added while const makes up for it. What {name!r} observes obeys "
        f"{derivative_name(name, equation.order)} = {' + '.join(right)}, where the constant has dropped out. Pass "
        f"intercept=False ({unseen} then counts from where the equation rests), or add an observation of {unseen}"
    )


def _check_delay(delay: Any) -> float:
    if isinstance(delay, (bool, np.bool_)) or not isinstance(delay, (int, float, np.integer, np.floating)):
        raise SpecificationError(f"delay is {delay!r}; pass a number in the unit of t, zero or more")
    if not (delay >= 0 and np.isfinite(delay)):
        raise SpecificationError(f"delay is {delay}; it is zero or more and finite")
    return float(delay)


def _columns(values: Any, argument: str) -> tuple[FloatArray, list[str | None]]:
    """A table (n, k) of floats and the names of its columns, from a vector, a matrix or a data frame."""
    read = partial(to_floats, is_indicator=argument == "u")
    try:
        native = nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    except DuplicateError:
        raise repeated_columns(values, argument) from None
    if isinstance(native, nw.DataFrame):
        if not native.columns:
            raise DataError(f"{argument} has no columns")
        parts = [read(native.get_column(name).to_native(), f"{argument}[{name!r}]")[0] for name in native.columns]
        return np.column_stack(parts), [_text(name, argument) for name in native.columns]
    if isinstance(native, nw.Series):
        label: Any = native.name
        return read(values, argument)[0][:, None], [None if label in (None, "") else _text(label, argument)]
    array = values if isinstance(values, np.ma.MaskedArray) else from_sequence(values, argument)
    if array.ndim == 2:
        parts = [read(array[:, i], f"{argument}[:, {i}]")[0] for i in range(array.shape[1])]
        if not parts:
            raise DataError(f"{argument} has no columns")
        return np.column_stack(parts), [None] * len(parts)
    column, name = read(values, argument)
    return column[:, None], [name]


def _text(label: Any, stem: str) -> str:
    """The name of a column of any label: the numbers of columns without names go behind a letter, as y0, u0, u1, ..."""
    return f"{stem}{label}" if isinstance(label, (int, np.integer)) else str(label)


def _named(labels: list[str | None], stem: str) -> tuple[str, ...]:
    if len(labels) == 1:
        return (labels[0] or stem,)
    return tuple(label or f"{stem}{i + 1}" for i, label in enumerate(labels))


def _times(t: Any, unit: str | None) -> tuple[Abscissa, FloatArray, str]:
    if t is None:
        raise SpecificationError("t is missing: pass the times of the observations, numbers or datetimes")
    array, label, zone = to_vector(t, "t")
    if array.dtype.kind in "Mm":
        bad = np.isnat(array)
        if bad.any():
            raise DataError(f"t[{first_index(bad)}] is missing (NaT); drop the row")
        array = to_nanoseconds(array, "t")
        if unit is not None:
            check_unit(unit)
    else:
        if unit is not None:
            raise SpecificationError(f"unit is {unit!r}, but t holds numbers; units of time are for datetime t")
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float64)
        bad = ~np.isfinite(array.astype(np.float64))
        if bad.any():
            raise DataError(f"t[{first_index(bad)}] is {array[first_index(bad)]}; every row needs a time: drop it")
    if len(array) == 0:
        raise DataError("t is empty; pass at least two rows")
    abscissa = Abscissa.of([array], unit, zone)
    return abscissa, abscissa.to_numbers(array), label or "t"


def _groups(groups: Any, n: int) -> tuple[npt.NDArray[np.int64], tuple[Any, ...]]:
    if groups is None:
        return np.zeros(n, np.int64), (None,)
    native = nw.from_native(groups, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.DataFrame):  # a run for each combination
        values: list[Any] = list(native.iter_rows())
    elif isinstance(native, nw.Series):
        values = native.to_list()
    elif isinstance(groups, list) and groups and isinstance(groups[0], tuple):
        values = groups
    else:
        array = np.asarray(groups)
        values = [tuple(row) for row in array.tolist()] if array.ndim == 2 else array.ravel().tolist()
    if len(values) != n:
        raise DataError(f"groups has {len(values)} labels for {n} rows")
    for i, value in enumerate(values):
        if any(part is None or part != part for part in (value if isinstance(value, tuple) else (value,))):
            raise DataError(f"groups[{i}] is missing; every row belongs to a run")
    labels = {value: k for k, value in reversed(list(enumerate(dict.fromkeys(values))))}
    return np.array([labels[value] for value in values], np.int64), tuple(dict.fromkeys(values))


def _inputs(u: Any, n: int) -> tuple[FloatArray, tuple[str, ...]]:
    if u is None:
        return np.zeros((n, 0)), ()
    values, labels = _columns(u, "u")
    if len(values) != n:
        raise DataError(f"u has {len(values)} rows and t has {n}; they pair up one to one")
    names = _named(labels, "u")
    bad = ~np.isfinite(values)
    if bad.any():
        i, k = divmod(first_index(bad.ravel()), values.shape[1])
        raise DataError(
            f"u[{i}] is {values[i, k]} (column {names[k]!r}); inputs are known at every row: fill it in, or drop the row"
        )
    return values, names


def _from_arrays(y: Any, t: Any, u: Any, groups: Any, unit: str | None) -> Sample:
    values, labels = _columns(y, "y")
    outputs = _named(labels, "y")
    abscissa, times, t_name = _times(t, unit)
    n = len(times)
    if len(values) != n:
        raise DataError(f"y has {len(values)} rows and t has {n}; they pair up one to one")
    bad = np.isinf(values)
    if bad.any():
        i = int(np.argmax(bad.any(axis=1)))
        raise DataError(f"y[{i}] is infinite; an observation is finite, or NaN where it is missing")
    for name, column in zip(outputs, values.T, strict=True):
        if np.isnan(column).all():
            raise DataError(f"all {n} observations of {name!r} are missing (NaN); leave the column out of y, or pass another one")
    inputs, names = _inputs(u, n)
    run, runs = _groups(groups, n)
    order = np.lexsort((times, run))
    _check_replicates(times, run, runs, order, inputs, names)
    return Sample(
        abscissa,
        frozen(times[order]),
        frozen(run[order]),
        runs,
        frozen(values[order]),
        frozen(np.ones_like(values)),
        frozen(inputs[order]),
        tuple(Channel(name, i, 0) for i, name in enumerate(outputs)),
        outputs,
        names,
        t_name,
        labels_of_rows=RowLabels.of(y, t),
        order=order,
    )


def _check_replicates(
    times: FloatArray,
    run: npt.NDArray[np.int64],
    labels: tuple[Any, ...],
    order: npt.NDArray[np.int64],
    inputs: FloatArray,
    names: tuple[str, ...],
) -> None:
    """Raise if rows at one time have different inputs, or all rows of every run are at one time."""
    joined = np.diff(run[order]) == 0
    same = (np.diff(times[order]) == 0) & joined
    bad = same & (np.diff(inputs[order], axis=0) != 0).any(axis=1)
    if bad.any():
        at = int(np.argmax(bad))
        i, j = sorted((int(order[at]), int(order[at + 1])))
        where = "" if len(labels) == 1 else f" in group {labels[run[i]]!r}"
        name = names[int(np.argmax(inputs[i] != inputs[j]))]
        raise DataError(
            f"t[{j}] repeats t[{i}] = {times[i]:g}{where} with another value of the input {name!r}; average the rows, or give runs "
            "different groups="
        )
    if joined.any() and same[joined].all():
        raise DataError(f"all rows{'' if len(labels) == 1 else ' of each group'} are at one time; pass rows at several times")


def _from_observations(y: Observations, t: Any, u: Any, groups: Any, intersample: str) -> Sample:
    """Observations of values and derivatives, each series a channel, on the union of their times and those of the inputs."""
    if groups is not None:
        raise SpecificationError("groups= is for arrays; Observations are of one run")
    if u is None and t is not None:
        raise SpecificationError("t= is for u if y is an Observations object, which has its own times")
    for reading in y.readings:
        if reading.upper is not None:
            raise SpecificationError(f"{reading.name!r} observes {reading.label}, which an equation cannot use; leave it out")
    abscissa = y.abscissa
    values = [reading for reading in y.readings if reading.deriv == 0]
    taken = {reading.name for reading in y.readings}
    name = values[0].name if values else next(letter for letter in ("y", "f", "y0") if letter not in taken or letter == "y0")
    if u is None:
        knots, inputs = np.zeros(0), np.zeros((0, 0))
        names: tuple[str, ...] = ()
    else:
        if t is None:
            raise SpecificationError("t is missing: pass the times of the inputs u")
        knots = abscissa.read(t, "t")
        inputs, names = _inputs(u, len(knots))
        order = np.argsort(knots, kind="stable")
        _check_replicates(knots, np.zeros(len(knots), np.int64), (None,), order, inputs, names)
        knots, first = np.unique(knots, return_index=True)
        inputs = inputs[first]
    times = [abscissa.to_numbers(reading.x) for reading in y.readings]
    nodes, places = _nodes(times, knots)
    if u is not None:
        if nodes[0] < knots[0]:
            raise DataError(
                f"the observations start at {nodes[0]:g}, before the inputs at t[0] = {knots[0]:g}; pass u from there on"
            )
        inputs = between(knots, inputs, nodes, intersample)
    else:
        inputs = np.zeros((len(nodes), 0))
    table = np.full((len(nodes), len(times)), np.nan)
    ratio = np.ones_like(table)
    channels = []
    for c, (reading, at) in enumerate(zip(y.readings, places, strict=True)):
        table[at, c] = reading.y
        with np.errstate(over="ignore"):  # check_scales names an SD whose square is beyond all numbers
            ratio[at, c] = reading.variance_ratio
        channels.append(Channel(reading.name, 0, reading.deriv, reading.sd is not None))
    order = np.full(len(nodes), -1)
    order[places[0]] = np.arange(len(places[0]))
    return Sample(
        abscissa,
        frozen(nodes),
        frozen(np.zeros(len(nodes), np.int64)),
        (None,),
        frozen(table),
        frozen(ratio),
        frozen(inputs),
        tuple(channels),
        (name,),
        names,
        y.x_name,
        labels_of_rows=RowLabels.together([reading.rows for reading in y.readings]),
        order=order if len(places) == 1 else None,
    )


def with_known_noises(sample: Sample, equation: Equation, fixed: Any) -> tuple[Sample, Equation, Any, list[str]]:
    """A sample and an equation with the noises that `fixed` has, the rest of it, and the names of all noises.

    A known SD of a series is what `observe` takes as sd=, or relative to its weights; a known intensity is of the equation.
    """
    several = len(sample.channels) > 1
    places = {f"sigma.{c.name}" if several else "sigma": i for i, c in enumerate(sample.channels) if not c.known}
    names = [*equation.noise_names, *places]
    rest = dict(fixed) if isinstance(fixed, Mapping) else fixed
    for name in names:
        if not isinstance(rest, dict) or name not in rest:
            continue
        value = rest.pop(name)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if not (np.isfinite(number) and number > 0):
            without = 'method="output_error"' if name not in places else 'method="arx"'
            raise SpecificationError(f"fixed[{name!r}] is {shown(value)}; pass a positive number ({without} has no such noise)")
        if name in places:
            sample = _with_known_sd(sample, places[name], number)
        else:
            known = np.array(equation.intensities or [np.nan] * equation.n_noises)
            known[names.index(name)] = number
            equation = replace(equation, intensities=tuple(known.tolist()))
    return sample, equation, rest, names


def _with_known_sd(sample: Sample, channel: int, sd: float) -> Sample:
    """A sample, and what was recorded, of which the noise of a series has a known SD of an observation of weight 1."""
    ratio, channels = sample.ratio.copy(), list(sample.channels)
    ratio[:, channel] *= sd**2
    channels[channel] = replace(channels[channel], known=True)
    recorded = None if sample.recorded is None else _with_known_sd(sample.recorded, channel, sd)
    return replace(sample, ratio=frozen(ratio), channels=tuple(channels), recorded=recorded)


def _nodes(times: list[FloatArray], knots: FloatArray) -> tuple[FloatArray, list[npt.NDArray[np.int64]]]:
    """Times of all series and of inputs, as often as the series with most replicates there, and the node of each observation."""
    distinct = np.unique(np.concatenate([*times, knots]))
    if len(distinct) == 1:
        raise DataError("all observations are at one time; pass observations at several times")
    found = [np.searchsorted(distinct, x) for x in times]
    often = np.max([np.bincount(at, minlength=len(distinct)) for at in found], axis=0)
    often = np.maximum(often, 1)
    first = np.cumsum(often) - often
    places = []
    for at in found:
        order = np.argsort(at, kind="stable")
        ordered = at[order]
        rank = np.empty(len(at), np.int64)
        rank[order] = np.arange(len(at)) - np.searchsorted(ordered, ordered)
        places.append(first[at] + rank)
    return np.repeat(distinct, often), places


def check_hidden(sample: Sample, equation: Equation) -> None:
    """Raise if an equation cannot have hidden states."""
    if equation.terms:
        raise SpecificationError(
            f"hidden= is for linear equations, and this one has the term {equation.terms[0].name}; leave one of them out"
        )
    if len(sample.lags) > 1 and (equation.input_rates or equation.is_by_state):
        raise SpecificationError(
            f"several lags ({sample.lags[0]} to {sample.lags[-1]}) and derivatives of the inputs are not identified together if "
            f"there are hidden states; pass lags=0{'' if equation.is_by_state else ', or input_derivatives=0'}"
        )
    for channel in sample.channels:
        if channel.deriv:
            raise SpecificationError(
                f"{channel.name!r} observes a derivative of order {channel.deriv}, which contains white noise if there are hidden "
                f"states; leave {channel.name!r} out, or pass hidden=0"
            )

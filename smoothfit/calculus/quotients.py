"""Derivatives at t = 0 of functions along lines: by the complex step where it can be trusted, else by differences.

Complex step (Squire and Trapp 1998): Im f(x + i h) / h, free of cancellation for an h far below rounding. It is wrong, silently,
where f is not analytic (abs, comparisons, conjugates), so it is used only where it agrees with a real difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._validation import EPS, FloatArray
from .derivatives import Derivative, Status
from .extrapolation import Limit, extrapolate
from .lines import Array, Lines, Refused

SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
LONGEST = 0.0731  # first step relative to the scale of x; no simple fraction, which periods of f might meet
FALL = 0.55  # of each step to the next; no simple fraction, or steps that alias a period would do so together
STAGE = 8  # steps tried before the error is looked at again
STEPS = 112  # at the most
NEAR_ZERO = 56  # steps after which they go on below |x|, where that is far below the scale
COMPLEX_STEP = 2.0**-160  # relative; its square is nothing beside one
BASE = 32.0  # machine epsilons of a complex step: complex powers lose some
SHIFT = 8.0  # in machine epsilons: what it changes is the rounding error of a complex step
CLOSE = 2.0**-47  # relative distance of points whose values differ by rounding, beside a smooth trend
N_CLOSE = 6  # on either side
NEXT = 2.0**-36  # of the longest step, over which the slope next to x is taken
HALVINGS = 46  # of the longest step, to a few machine epsilons
SETTLED = 4  # halvings over which a jump does not shrink
COARSEST = 2.0**-16  # a jump beside f that may be rounding: some hundred times that of single precision
QUICK = 4  # steps of a first confirmation
CLOSELY = 1e-5  # relative error of that
ROUNDING = 1.5  # bound of a rounding error, in mean sizes of third differences
PRECISE = 1e-10  # relative error at which no shorter step is tried
VERIFIED = 1e-7  # the same, where a difference is only to confirm a complex step
AT_ROUNDING = 200.0  # error in units of the rounding of f, per scale of x, at which shorter steps would not help


class Slopes(NamedTuple):
    """Derivatives along lines, arrays (L, M)."""

    value: FloatArray
    error: FloatArray
    method: npt.NDArray[Any]
    status: npt.NDArray[np.int64]

    def mapped(self, change: Callable[[Array], Array]) -> Slopes:
        """The same, each array changed."""
        return Slopes(change(self.value), change(self.error), change(self.method), change(self.status))

    def derivative(self, nfev: int, reason: str) -> Derivative:
        """The same as a result."""
        return Derivative(self.value, self.error, nfev, self.method, self.status, reason)


def differences(lines: Lines, precise: float = PRECISE, known_rounding: bool = False, stage: int = STAGE) -> Slopes:
    """Derivatives at t = 0 from real steps, central or one-sided.

    `known_rounding`: `lines.noise` is all there is; `stage` is the number of steps tried at once.
    """
    steps, plus, minus = np.empty((0, len(lines.scale))), [], []
    rounding = lines.noise if known_rounding else _rounding(lines)
    result, before = None, np.array(np.inf)
    for start in range(0, STEPS, stage):
        new = _steps(lines, start, stage)
        right, left = new <= lines.right, new <= lines.left
        values = lines.at(np.concatenate([np.where(right, new, 0.0), np.where(left, -new, 0.0)]))
        if start == stage and not known_rounding:  # not converged at once: f may be less precise than its type
            rounding = np.maximum(rounding, _granularity(lines))
        plus.append(np.where(right[..., None], values[:stage], np.nan))
        minus.append(np.where(left[..., None], values[stage:], np.nan))
        steps = np.concatenate([steps, new])
        result, is_settled, done = _limits(lines, steps, np.concatenate(plus), np.concatenate(minus), rounding, precise)
        # what shorter steps do not improve, they spoil: below some step, rounding is no longer random
        done |= is_settled & (result.status == Status.CONVERGED) & (result.error > 0.5 * before)
        before = result.error
        if done.all():
            break
    assert result is not None
    return result


def _rounding(lines: Lines) -> FloatArray:
    """Size (L, M) of the rounding errors of f at x, which may be far above machine epsilon times f.

    From third differences over close points, where a smooth f has none (Hamming 1973; More and Wild 2011).
    """
    spacing = CLOSE * np.where(lines.size > 0, lines.size, lines.scale)
    sides = [side * np.arange(1, N_CLOSE + 1)[:, None] * spacing for side in (-1, 1)]
    values = lines.at(np.clip(np.concatenate(sides), -lines.left, lines.right))
    with np.errstate(all="ignore"):
        third = np.abs(np.diff(values.reshape(2, N_CLOSE, *values.shape[1:]), n=3, axis=1)).mean(axis=1)
        # the smoother side: f may jump at x
        size = np.nan_to_num(np.fmin(third[0], third[1]), nan=0.0, posinf=0.0)
    return np.asarray(np.maximum(lines.rounding * np.abs(lines.value), ROUNDING * size) + lines.noise)


def _granularity(lines: Lines) -> FloatArray:
    """Size (L, M) of the jumps by which f changes around x, if it is computed in fewer digits than its type has; zero if not.

    An interval on either side is halved, each time towards the larger change (less that by the slope next to x): that of a
    continuous function halves too, that of a jump stays. The smaller side counts, as f itself may jump on one; so do jumps that are
    tiny beside f only, as those of rounding.
    """
    room = np.stack([lines.right, lines.left])
    near = np.zeros(room.shape)
    far = np.minimum(LONGEST * lines.scale, room) * np.array([[1.0], [-1.0]])
    high, close = lines.at(far), lines.at(far * NEXT)
    low = np.broadcast_to(lines.value, high.shape)
    changes = []
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(low), np.abs(high))
        size = np.where(size > 0, size, 1.0)
        slope = (close - low) / (far * NEXT)[..., None]
        for _ in range(HALVINGS):
            middle = near / 2 + far / 2
            between = lines.at(middle)
            trend = slope * (middle - near)[..., None]
            first, second = (np.max(np.abs(change - trend) / size, axis=2) for change in (between - low, high - between))
            is_first = ~(second >= first)
            near, far = np.where(is_first, near, middle), np.where(is_first, middle, far)
            low, high = np.where(is_first[..., None], low, between), np.where(is_first[..., None], between, high)
            changes.append(np.fmax(first, second))
        jump = changes[-1]
        is_jump = (jump > 0.75 * changes[-1 - SETTLED]) & (jump <= COARSEST)
        is_known = np.isfinite(jump) & (room > 0)
        relative = np.min(np.where(is_known, np.where(is_jump, jump, 0.0), np.inf), axis=0)
        size = np.where(np.isfinite(size), size, 0.0)
    return np.asarray(np.where(np.isfinite(relative), relative, 0.0)[:, None] * size.max(axis=0))


def _steps(lines: Lines, start: int, count: int) -> FloatArray:
    """Steps (count, L), such that x plus and minus a step are exact."""
    k = np.arange(start, start + count)[:, None]
    is_near_zero = (lines.size > 0) & (lines.size < lines.scale * 2.0**-30)
    longest = np.where((k >= NEAR_ZERO) & is_near_zero, lines.size * FALL**-NEAR_ZERO, lines.scale)
    steps = LONGEST * longest * FALL**k
    exact = (lines.size + steps) - lines.size
    return np.asarray(np.where(exact > 0, exact, steps))


def _limits(
    lines: Lines, steps: FloatArray, plus: FloatArray, minus: FloatArray, rounding: FloatArray, precise: float
) -> tuple[Slopes, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The best of central, forward and backward differences, whether they agree, and whether no shorter step is needed."""
    h, here = steps[..., None], lines.value
    with np.errstate(all="ignore"):
        noise = lines.rounding * np.fmax(np.abs(plus), np.abs(minus)) + rounding

        def limit(quotient: FloatArray, power: int) -> Limit:
            moved = EPS * lines.stretch[:, None] * np.abs(quotient)
            return extrapolate(quotient, (noise + moved) / h, h, power)

        central = limit((plus - minus) / (2 * h), 2)
        forward, backward = limit((plus - here) / h, 1), limit((here - minus) / h, 1)
        jump = limit((plus + minus - 2 * here) / h, 1)
        # one-sided where that is better by far, or all there is
        is_central = central.error <= 10 * np.minimum(forward.error, backward.error)
        is_forward = ~is_central & (forward.error <= backward.error)
        value = np.where(is_central, central.value, np.where(is_forward, forward.value, backward.value))
        error = np.where(is_central, central.error, np.where(is_forward, forward.error, backward.error))
        moved = np.maximum(_largest(np.abs(plus - here)), _largest(np.abs(minus - here)))
        slope = np.fmax(np.fmax(np.abs(forward.value), np.abs(backward.value)), moved / lines.scale[:, None])
        is_kink = (np.abs(jump.value) > jump.error) & (np.abs(jump.value) > 1e-6 * slope)
        # where only one side has a slope and the other does not approach f at x, f jumps
        moves = np.where(is_forward, np.abs(minus - here), np.abs(plus - here))
        is_jump = ~is_central & (moves[-1] > 0.3 * moves[-5]) & (moves[-1] > AT_ROUNDING * rounding)
        value = np.where(is_kink, central.value, value)
        error = np.where(is_kink, np.abs(jump.value) / 2 + jump.error + central.error, error)
        error = np.where(is_jump, np.inf, error)
        is_kink |= is_jump
        scale = lines.scale[:, None]
        is_fine = error <= precise * np.abs(value) + AT_ROUNDING * _largest(noise) / scale
        is_small = np.abs(jump.value) + jump.error <= 1e-3 * np.abs(value) + AT_ROUNDING * _largest(noise) / scale
        # one-sided only where there is no other side, or where that agrees
        other, other_error = np.where(is_forward, (backward.value, backward.error), (forward.value, forward.error))
        agrees = (other_error <= 0.1 * np.fmax(np.abs(value), moved / scale)) & (
            np.abs(other - value) <= 10 * (other_error + error)
        )
        is_settled = np.where(is_central, is_small, agrees | ~np.isfinite(moves[-1]))
        is_exhausted = (steps[-1] <= 8 * EPS * np.where(lines.size > 0, lines.size, lines.scale))[:, None]
        is_constant = moved <= AT_ROUNDING * rounding  # and has no digits to lose
        is_rough = (error > 1e-3 * np.maximum(np.abs(value), 1e-6 * moved / scale)) & ~is_constant
    is_missing = (~np.isfinite(error) & ~is_jump) | ~np.isfinite(here)
    status = np.select(
        [is_missing, is_kink, is_rough], [Status.NOT_FINITE, Status.KINK, Status.IMPRECISE], default=int(Status.CONVERGED)
    )
    method = np.where(is_central | is_kink, "central", np.where(is_forward, "forward", "backward"))
    slopes = Slopes(np.where(is_missing, np.nan, value), np.where(is_missing, np.inf, error), method, status)
    done = (is_fine & is_settled & ~is_kink) | is_exhausted | ~np.isfinite(here)  # a kink may turn out to be near x only
    return slopes, is_settled & ~is_kink, done


def _largest(sizes: FloatArray) -> FloatArray:
    """Largest finite size over the steps."""
    return np.asarray(np.max(np.where(np.isfinite(sizes), sizes, 0.0), axis=0))


def complex_steps(lines: Lines) -> Slopes:
    """Derivatives at t = 0 by the complex step, unverified; the error is that of rounding.

    Raises Refused where f takes no complex numbers.
    """
    size = np.where(lines.size > 0, np.maximum(lines.size, 2.0**-800), lines.scale)
    step = COMPLEX_STEP * size
    shift = np.where(lines.right > 0, SHIFT, -SHIFT) * EPS * size
    inside = (shift <= lines.right) & (shift >= -lines.left)
    shifts = np.stack([np.zeros_like(size), np.where(inside, shift, 0.0)])
    values = np.asarray(lines.at(shifts + 1j * step)).imag / step[:, None]
    with np.errstate(invalid="ignore"):
        spread = np.abs(values[1] - values[0])
    # of rounding, and of underflow
    error = 2 * np.where(np.isfinite(spread), spread, 0.0) + BASE * EPS * np.abs(values[0]) + SMALLEST / step[:, None]
    error = np.where(np.isfinite(values[0]), error, np.inf)
    value = values[0]
    return Slopes(value, error, np.full(value.shape, "complex step"), np.zeros(value.shape, dtype=np.int64))


def is_confirmed(lines: Lines, steps: Slopes) -> bool:
    """Whether a few real differences agree with all complex steps, closely and without a sign of a kink; if not, they may yet."""
    h = _steps(lines, 0, QUICK)
    if (h[0] > np.minimum(lines.left, lines.right)).any():
        return False
    values = lines.at(np.concatenate([h, -h]))
    plus, minus, here, h = values[:QUICK], values[QUICK:], lines.value, h[..., None]
    with np.errstate(all="ignore"):
        column = (plus - minus) / (2 * h)
        for j in range(1, QUICK):
            before, ratio = column, (h[:-j] / h[j:]) ** 2
            column = before[1:] + (before[1:] - before[:-1]) / (ratio - 1)
        largest = np.max(np.fmax(np.abs(plus), np.abs(minus)) / h, axis=0)
        rounding = AT_ROUNDING * EPS * (largest + (np.abs(here) + lines.stretch[:, None] * np.abs(column[0])) / h[-1])
        tolerance = np.abs(column[0] - before[-1]) + rounding
        bend = np.abs(plus + minus - 2 * here) / h  # proportional to h, at a kink constant
        size = np.abs(steps.value) + 1e-3 * np.maximum(np.abs(plus[0] - here), np.abs(minus[0] - here)) / h[0]
        return bool(
            np.all(np.abs(steps.value - column[0]) <= tolerance)
            and np.all(tolerance <= CLOSELY * size)
            and np.all(bend[-1] <= 0.5 * bend[0] + rounding)
            and np.all(steps.error <= CLOSELY * size)
        )


def disagreement(steps: Slopes, real: Slopes) -> npt.NDArray[np.bool_]:
    """Where a complex step is contradicted by a real difference, or cannot be confirmed."""
    with np.errstate(invalid="ignore"):
        near = np.abs(steps.value - real.value) <= 5 * real.error + 1e-9 * np.abs(steps.value)
    return np.asarray(~(near & np.isfinite(steps.value)) | (real.status == Status.KINK) | (real.status == Status.NOT_FINITE))


def explanation(steps: Slopes, real: Slopes, wrong: npt.NDArray[np.bool_]) -> str:
    """Why the complex step was refused, by the first element where it was."""
    i = tuple(np.argwhere(wrong)[0])
    a, b, error = float(steps.value[i]), float(real.value[i]), float(real.error[i])
    if real.status[i] == Status.NOT_FINITE:
        return f"the complex step gives {a:.6g}, but f is not finite at real points close by"
    if real.status[i] == Status.KINK:
        return f"the complex step gives {a:.6g}, but the slopes to the left and to the right differ: f has a kink there"
    if np.isfinite(a) and abs(a - b) <= error:
        return (
            f"the complex step is known to ± {float(steps.error[i]):.2g} only, real differences to ± {error:.2g}: f loses digits "
            "at complex x"
        )
    digits = next((n for n in (6, 9, 12) if f"{a:.{n}g}" != f"{b:.{n}g}"), 17)
    return (
        f"the complex step gives {a:.{digits}g} where real differences give {b:.{digits}g} ± {error:.2g}: f is not analytic there "
        "(absolute values, comparisons, conjugates, a kink)"
    )


def bounded(steps: Slopes, real: Slopes) -> Slopes:
    """Complex steps with no more error than the differences leave, and with as much where these are imprecise."""
    distance = np.abs(steps.value - real.value) + real.error
    is_rough = real.status == Status.IMPRECISE
    error = np.where(is_rough, distance, np.minimum(steps.error, distance))
    return steps._replace(error=error, status=np.where(is_rough, real.status, steps.status))


def merged(first: Slopes, second: Slopes, use_second: Array) -> Slopes:
    """Slopes of the first, where `use_second` those of the second."""
    return Slopes(*(np.where(use_second, b, a) for a, b in zip(first, second, strict=True)))


def slopes_each_verified(lines: Lines, method: str) -> tuple[Slopes, str]:
    """Derivatives along lines, each complex step verified on its own line; and why any was refused."""
    if method == "real":
        return differences(lines), ""
    try:
        steps = complex_steps(lines)
    except Refused as error:
        return differences(lines), str(error)
    if is_confirmed(lines, steps):
        return steps, ""
    confirming = differences(lines, VERIFIED)
    wrong = disagreement(steps, confirming) | (steps.error > 10 * confirming.error + 1e-12 * np.abs(steps.value))
    steps = bounded(steps, confirming)
    if not wrong.any():
        return steps, ""
    return merged(steps, differences(lines), wrong), explanation(steps, confirming, wrong)

"""What a fitted equation does: modes, gains, responses, equilibrium."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray, check_choice, check_finite, check_level, to_floats
from ..errors import DataError, SpecificationError
from ..results import Estimate
from ..results.mixtures import critical_value
from . import response
from .estimates import Estimates
from .frames import side_by_side, values_by_name
from .posterior import Posterior
from .relation import Relation

if TYPE_CHECKING:
    import pandas as pd

INTEGRATOR = 1e-10  # a pole this small beside the largest is zero
MODES = ("rate", "frequency", "natural_frequency", "damping")
LATE_STEP = 1e-3  # of the standard error of a delay: differences by it
STEP = 1e-6  # relative: differences for the delta method of poles, where complex steps would meet branch cuts


@entry_point
class Behaviour(Estimates):
    """What follows from the coefficients of a linear equation.

    Standard errors are by the delta method. Intervals after "kalman" are those of the posterior, with the quantiles of the quantity
    itself; else by the delta method, or by transformed ends where that is said.
    """

    def _require_inputs(self, what: str) -> None:
        self.model.equation.require_linear(what)
        if not self.model.equation.inputs:
            raise SpecificationError(f"{what} needs an input, and the equation has none")

    def _output_index(self, output: str | None) -> int:
        outputs = self.model.equation.outputs
        if output is not None and output not in outputs:
            raise SpecificationError(f"output is {output!r}; the outputs are {', '.join(outputs)}")
        return 0 if output is None else outputs.index(output)

    def poles(self) -> npt.NDArray[np.complex128]:
        """Roots of the characteristic equation (eigenvalues of A), by decreasing real part.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t / 2) * np.cos(2 * t)
        >>> sf.DerivativeRegression(y, t, order=2, intercept=False).fit("integral").poles().round(6)
        array([-0.5-2.j, -0.5+2.j])
        """
        values = np.linalg.eigvals(self.model.equation.matrices(self.fitted.theta)[0]).astype(complex)
        return values[np.lexsort((values.imag, -values.real))]

    @property
    def natural_frequency(self) -> FloatArray:
        """Modulus of each pole, in radians per unit of t."""
        return np.abs(self.poles())

    @property
    def damping(self) -> FloatArray:
        """Damping ratio of each pole, -Re / modulus."""
        poles = self.poles()
        with np.errstate(invalid="ignore"):
            return -poles.real / np.abs(poles)

    def modes(self, alpha: float = 0.05) -> pd.DataFrame:
        """Each mode of the solution with standard errors and intervals: a real pole, or a pair of conjugate ones.

        Parameters
        ----------
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            ``rate``, the real part of a pole, and ``frequency``, the size of its imaginary part, in radians per unit of t,
            ``natural_frequency``, its modulus, and ``damping``, minus the real part over it, each beside its standard error
            ``se(...)`` by the delta method and the ends ``lower(...)`` and ``upper(...)`` of its interval: quantiles of the
            posterior after "kalman", else normal. The linear approximation of the delta method does not hold where poles nearly
            coincide.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(300) * 0.05
        >>> y = np.exp(-0.2 * t) * np.cos(2 * t) + 0.05 * np.random.default_rng(0).standard_normal(300)
        >>> modes = sf.DerivativeRegression(y, t, order=2, intercept=False).fit("output_error").modes()
        >>> modes[["rate", "frequency"]].round(1).to_numpy().tolist()
        [[-0.2, 2.0]]
        """
        self.model.equation.require_linear("a mode")
        equation = self.model.equation
        return self._table_of_roots(lambda theta: np.linalg.eigvals(equation.matrices(theta)[0]), alpha)

    def _table_of_roots(self, roots: Callable[[FloatArray], npt.NDArray[Any]], alpha: float) -> pd.DataFrame:
        """The table of `modes` of roots of any polynomial of the coefficients, conjugate ones once, by decreasing real part."""
        import pandas as pd

        every = roots(self.fitted.theta)
        kept = every[every.imag >= 0]
        kept = kept[np.lexsort((kept.imag, -kept.real))]

        def table(theta: FloatArray) -> FloatArray:
            found = roots(theta)
            nearest = found[np.abs(found[:, None] - kept).argmin(axis=0)]
            size = np.abs(nearest)
            with np.errstate(invalid="ignore"):
                return np.concatenate([nearest.real, np.abs(nearest.imag), size, -nearest.real / size])

        found = self._with_interval(lambda theta, _: table(theta), alpha)
        columns: dict[str, FloatArray] = {}
        for i, name in enumerate(MODES):
            parts = (part.reshape(4, -1)[i] for part in found)
            columns |= dict(zip((name, f"se({name})", f"lower({name})", f"upper({name})"), parts, strict=True))
        return pd.DataFrame(columns, index=pd.RangeIndex(len(kept), name="mode"))

    def _drawn(self, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """A function of the coefficients at draws of them, (draws, m), of a fit whose parameters are integrated."""
        return self._drawn_late(lambda theta, _: function(theta))

    def _drawn_late(self, function: Callable[[FloatArray, float], FloatArray]) -> FloatArray:
        """Likewise a function of the coefficients and of the delay."""
        assert self._posterior is not None
        theta, _, _, delays = self._posterior.for_quantiles
        if delays is None:
            delays = np.full(len(theta), self.model.sample.delay)
        return np.array([np.ravel(function(*drawn)) for drawn in zip(theta, delays.tolist(), strict=True)])

    def _with_interval(self, function: Callable[[FloatArray, float], FloatArray], alpha: float) -> tuple[FloatArray, ...]:
        """A function of the coefficients and of the delay, its standard error, and the ends of its interval of level 1 - alpha."""
        value, cov = self._delta_late(function)
        se = np.sqrt(np.maximum(np.diag(cov), 0.0))  # below zero is rounding
        if self._posterior is not None:
            return value, se, *np.quantile(self._drawn_late(function), [alpha / 2, 1 - alpha / 2], axis=0)
        half = critical_value(alpha, np.inf) * se
        return value, se, value - half, value + half

    def _delta_late(self, function: Callable[[FloatArray, float], FloatArray]) -> tuple[FloatArray, FloatArray]:
        """A function of the coefficients and of the delay, and its covariance, as `_delta`."""
        theta, at, delay = self.fitted.theta, self.model.sample.delay, self._fit.delay
        value, cov = self._delta(lambda moved: function(moved, at))
        if delay is None or delay.se == 0:
            return value, cov
        # The coefficients move with the delay; `cov` has the part of their error that is due to it.
        w = LATE_STEP * delay.se

        def along(late: float) -> FloatArray:
            ends = (np.ravel(function(theta + sign * w * delay.slope, at + sign * w * late)) for sign in (1.0, -1.0))
            return np.subtract(*ends) / (2 * w) * delay.se

        both, alone = along(1.0), along(0.0)
        return value, cov + np.outer(both, both) - np.outer(alone, alone)

    def _delta(self, function: Callable[[FloatArray], FloatArray]) -> tuple[FloatArray, FloatArray]:
        """A function of the coefficients and its covariance, by central differences."""
        theta = self.fitted.theta
        value = np.atleast_1d(function(theta))
        slopes = np.empty((value.size, len(theta)))
        for i in range(len(theta)):
            width = STEP * max(abs(theta[i]), float(np.sqrt(max(self._cov_theta[i, i], 0.0))), 1e-8)
            up, down = theta.copy(), theta.copy()
            up[i] += width
            down[i] -= width
            slopes[:, i] = (np.ravel(function(up)) - np.ravel(function(down))) / (2 * width)
        return value, slopes @ self._cov_theta @ slopes.T

    def time_constant(self) -> Estimate:
        """-1 / Re(pole) of the slowest mode.

        Integrators (poles at zero) are left out. Negative if the mode grows, infinite if there is none.

        Returns
        -------
        smoothfit.results.Estimate
            The standard error is by the delta method. ``conf_int`` transforms the ends of the interval of the rate: quantiles of
            the posterior after "kalman", else of the normal law. An infinite end means that the rate may be zero.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t / 2) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> constant = sf.DerivativeRegression(y, t, intercept=False).fit("output_error").time_constant()
        >>> low, high = constant.conf_int()
        >>> print(low < 2 < high, high - constant > constant - low)
        True True
        """
        self.model.equation.require_linear("a time constant")

        def slowest(theta: FloatArray) -> FloatArray:
            poles = np.linalg.eigvals(self.model.equation.matrices(theta)[0])
            poles = poles[np.abs(poles) > INTEGRATOR * np.abs(poles).max()]
            return np.array([poles.real.max() if len(poles) else 0.0])

        value, cov = self._delta(slowest)
        rate, se = float(value[0]), float(np.sqrt(cov[0, 0]))
        if rate == 0:
            return Estimate(np.inf, np.inf, ends=unbounded)
        if self._posterior is None:
            ends = partial(_of_normal_rate, rate, se)
        elif self.model.equation.n_states == 1:  # the rate is the coefficient
            ends = partial(_of_coefficient, rate, self._posterior, len(self.fitted.theta))
        else:
            ends = partial(_of_drawn_rate, rate, self._drawn(slowest)[:, 0])
        return Estimate(-1 / rate, se / rate**2, ends=ends)

    def half_life(self) -> Estimate:
        """Time in which the slowest mode falls to one half: log(2) times `time_constant`, as is its interval.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> res = sf.DerivativeRegression(np.exp(-t), t, intercept=False).fit("integral")
        >>> round(res.half_life(), 6)  # log 2
        0.693147
        """
        half: Estimate = float(np.log(2)) * self.time_constant()
        return half

    def gain(self, method: str = "fieller", alpha: float = 0.05) -> pd.DataFrame:
        """Static gain of each input: the change of y in the long run per unit of u, its lags included.

        Parameters
        ----------
        method : {"fieller", "delta"}
            Fieller's sets, which keep their level if the denominator is uncertain: an interval, its complement ("unbounded":
            below `lower` or above `upper`), or everything ("all"); after "kalman" with the posterior in place of the normal law.
            Intervals of the delta method cover too little there: 0.70 to 0.89 of a nominal 0.95 if a sample is a few time
            constants long.
        alpha : float

        Returns
        -------
        pandas.DataFrame
            ``gain``, ``se`` (by the delta method), ``lower``, ``upper``, and ``kind`` with Fieller's.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t)) + 0.02 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("output_error")
        >>> gain = res.gain().loc["u"]
        >>> bool(gain["lower"] < 2 < gain["upper"]), gain["kind"]
        (True, 'interval')
        """
        import pandas as pd

        self._require_inputs("a gain")
        equation = self.model.equation
        check_choice(method, "method", ("fieller", "delta"))
        check_level(alpha)
        k, lags = len(equation.inputs), self._lags
        if 0 not in equation.derivatives:
            raise SpecificationError(
                f"{equation.outputs[0]} itself is not on the right: the equation integrates its inputs and has no static gain"
            )
        value, covariance = self._delta(lambda theta: (response.static_gain(equation, theta)[:, :k] @ lags).ravel())
        table = pd.DataFrame({"gain": value, "se": np.sqrt(np.diag(covariance))}, index=self._pairs)
        if method == "delta":
            half = critical_value(alpha, np.inf) * table["se"]
            return table.assign(lower=table["gain"] - half, upper=table["gain"] + half)
        drives = np.vstack([lags, np.zeros((int(equation.intercept), lags.shape[1]))])
        drawn = self._drawn_ratios(drives)
        if drawn is None:
            sets = [response.fieller(*ratio, alpha) for ratio in self._static_ratios(drives)]
        else:
            sets = [response.ratio_set(*ratio, alpha) for ratio in drawn]
        return table.join(pd.DataFrame(sets, index=self._pairs))

    def _static_ratios(self, drives: FloatArray) -> list[tuple[float, float, FloatArray]]:
        """Numerator, denominator and their covariance (2, 2) of each output's response in the long run to columns of drives."""
        value, cov = self._delta(partial(self._ratio, drives))
        last = len(value) - 1
        return [(float(value[i]), float(value[last]), cov[np.ix_([i, last], [i, last])]) for i in range(last)]

    def _ratio(self, drives: FloatArray, theta: FloatArray) -> FloatArray:
        """Numerators of the responses in the long run to columns of drives, and their common denominator."""
        found = response.static_ratio(self.model.equation, theta)
        return np.append((found[:-1].reshape(self.model.equation.n_outputs, -1) @ drives).ravel(), found[-1])

    def _drawn_ratios(self, drives: FloatArray) -> list[tuple[FloatArray, FloatArray]] | None:
        """Draws of the numerators and denominators of `_static_ratios`; None if the parameters are not integrated."""
        if self._posterior is None:
            return None
        drawn = self._drawn(partial(self._ratio, drives))
        return [(column, drawn[:, -1]) for column in drawn[:, :-1].T]

    @property
    def _lags(self) -> FloatArray:
        """Which recorded input a column of the equation's inputs belongs to, (inputs, recorded inputs) of zeros and ones."""
        sample = self.model.sample
        return np.repeat(np.eye(len(sample.recorded_inputs)), len(sample.lags), axis=0)

    @property
    def _pairs(self) -> list[str]:
        """Names of outputs and recorded inputs; of the inputs alone if there is one output."""
        outputs, inputs = self.model.equation.outputs, self.model.sample.recorded_inputs
        return list(inputs) if len(outputs) == 1 else [f"{o}: {i}" for o in outputs for i in inputs]

    @framed
    def step_response(self, t: Any, alpha: float = 0.05) -> pd.DataFrame:
        """Response of y at times t after each input becomes one at zero, from rest, with pointwise intervals.

        Standard errors are by the delta method. Intervals are quantiles of the response after "kalman", else normal. Inputs act
        as in the model: later if there is a delay, and over several rows, or ahead, if there are lags.

        Returns
        -------
        pandas.DataFrame
            Indexed by t; columns ``mean``, ``se``, ``lower``, ``upper``, under the input's name if there are several.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> res.step_response([0.0, 1.0])["mean"].round(4).tolist()  # 2 (1 - exp(-t))
        [0.0, 1.2642]
        """
        return self._response(response.step_response, t, alpha)

    @framed
    def impulse_response(self, t: Any, alpha: float = 0.05) -> pd.DataFrame:
        """Response of y at times t after a unit impulse of each input at zero; as `step_response`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> res.impulse_response([0.0, 1.0])["mean"].round(4).tolist()  # 2 exp(-t)
        [2.0, 0.7358]
        """
        return self._response(response.impulse_response, t, alpha)

    def _response(self, function: Callable[..., FloatArray], t: Any, alpha: float) -> pd.DataFrame:
        import pandas as pd

        self._require_inputs("a response")
        equation = self.model.equation
        times = to_floats(t, "t")[0]
        check_finite(times, "t", "pass finite times")
        if (times < 0).any():
            raise DataError(f"t[{int(np.argmax(times < 0))}] is negative; responses start at zero")
        sample, k, lags = self.model.sample, len(equation.inputs), self._lags
        rounding = 4 * np.finfo(float).eps * (np.abs(times).max(initial=0.0) + sample.delay)

        def responses(theta: FloatArray, delay: float) -> FloatArray:
            total = np.zeros((len(times), equation.n_outputs, lags.shape[1]))
            for place, lag in enumerate(sample.lags):
                since = times - delay - lag * (sample.step or 0.0)
                since = np.where(np.abs(since) <= rounding, 0.0, since)
                columns = slice(place, k, len(sample.lags))
                reached = function(equation, theta, np.maximum(since, 0.0))[:, :, :k][:, :, columns]
                total += np.where((since >= 0)[:, None, None], reached, 0.0)
            return total.ravel()

        found = [part.reshape(len(times), -1).T for part in self._with_interval(responses, alpha)]
        index, labels = pd.Index(times, name=self.model.sample.t_name), ("mean", "se", "lower", "upper")
        columns = zip(self._pairs, *found, strict=True)
        return side_by_side({name: pd.DataFrame(dict(zip(labels, own, strict=True)), index=index) for name, *own in columns})

    def steady_state(self, u: Any = None) -> Estimate | list[Estimate]:
        """Where y converges to if the inputs stay at u, with its standard error.

        u holds one number for each input, in their order, or by name in a mapping or a data frame of one row. Intervals are
        those of `gain`, and unbounded if the denominator may be zero.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> round(res.steady_state([3.0]), 6)  # the gain, 2, times 3
        6.0
        """
        self.model.equation.require_linear("a steady state")
        equation = self.model.equation
        names = self.model.sample.recorded_inputs
        values = values_by_name(names, u)
        if len(values) != len(names):
            raise DataError(f"u has {len(values)} entries for {len(names)} inputs ({', '.join(names) or 'none'})")
        values = np.repeat(values, len(self.model.sample.lags))
        if 0 not in equation.derivatives:
            raise SpecificationError(f"{equation.outputs[0]} itself is not on the right: the equation has no steady state")
        drive = np.append(values, 1.0) if equation.intercept else values
        found = self._static_responses(drive)
        return found[0] if equation.n_outputs == 1 else found

    def _static_responses(self, drive: FloatArray) -> list[Estimate]:
        """Where each output converges to under constant drives."""
        equation = self.model.equation
        value, cov = self._delta(lambda theta: response.static_gain(equation, theta) @ drive)
        drawn = self._drawn_ratios(drive[:, None])
        if drawn is None:
            ends = [partial(response.fieller_ends, *ratio) for ratio in self._static_ratios(drive[:, None])]
        else:
            ends = [partial(response.ratio_ends, *ratio) for ratio in drawn]
        return [Estimate(v, se, ends=end) for v, se, end in zip(value, np.sqrt(np.diag(cov)), ends, strict=True)]

    @property
    def discrete_params(self) -> pd.DataFrame:
        """Coefficients of the exact difference equation at the spacing of the samples, with standard errors by the delta method."""
        import pandas as pd

        equation, step = self.model.equation, self.model.sample.step
        if step is None or equation.n_outputs > 1 or equation.terms:
            raise SpecificationError(
                "the difference equation is of one linear output at regular times; params are in continuous time"
            )
        relation = Relation(equation, step)
        J = relation.jacobian(self.fitted.theta)
        names = [f"{equation.outputs[0]}.L{lag}" for lag in range(1, equation.order + 1)]
        names += [f"{name}.L{lag}" if lag else name for name in equation.inputs for lag in relation.lags]
        names += ["const"] * equation.intercept
        return pd.DataFrame(
            {"coef": relation.psi(self.fitted.theta), "std err": np.sqrt(np.diag(J @ self._cov_theta @ J.T))}, index=names
        )


def unbounded(alpha: float) -> tuple[float, float]:
    """An interval that excludes nothing."""
    check_level(alpha)
    return -np.inf, np.inf


def _of_normal_rate(rate: float, se: float, alpha: float) -> tuple[float, float]:
    """Ends of the interval of a time constant, of a rate with a normal law."""
    half = critical_value(alpha, np.inf) * se
    return _of_reciprocal(rate, rate - half, rate + half)


def _of_coefficient(rate: float, posterior: Posterior, n_params: int, alpha: float) -> tuple[float, float]:
    """Ends of the interval of a time constant, of a rate that is the first coefficient."""
    row = np.eye(1, n_params)
    low, high = posterior.intervals(row, alpha)[0].tolist()
    return _of_reciprocal(rate, low, high)


def _of_drawn_rate(rate: float, drawn: FloatArray, alpha: float) -> tuple[float, float]:
    """Ends of the interval of a time constant, of draws of a rate."""
    level = check_level(alpha)
    return _of_reciprocal(rate, *np.quantile(drawn, [level / 2, 1 - level / 2]).tolist())


def _of_reciprocal(rate: float, low: float, high: float) -> tuple[float, float]:
    """-1 / r at the ends of the interval of a rate; up to infinity, on the side of the estimate, if it may be zero."""
    if rate < 0:
        return -1 / low, (np.inf if high >= 0 else -1 / high)
    return (-np.inf if low <= 0 else -1 / low), -1 / high

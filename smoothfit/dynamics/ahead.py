"""Forecasts and simulations of a fitted differential equation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray, check_rng, to_floats
from ..errors import DataError
from . import response
from .frames import inputs_of, side_by_side, times_and_inputs, vector_of_times
from .nonlinear import solve
from .sample import check_nodes
from .shifts import acting, gone_on
from .smoothed import Smoothed

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class Ahead(Smoothed):
    """Solutions of the fitted equation: after the end of a run, or with other inputs."""

    @framed
    def forecast(self, t: Any, u: Any = None, alpha: float = 0.05, run: Any = None) -> pd.DataFrame:
        """Forecasts of new observations after the end of a run.

        Parameters
        ----------
        t : array_like, shape (k,), or data frame
            Times after the last one, increasing. A data frame, or a mapping of names to columns, brings the times and the inputs in
            the columns that the fit takes, by name; with a formula, in those that it mentions.
        u : array_like, shape (k,) or (k, inputs), or data frame, optional
            Inputs at these times, as they are recorded (held from the last row until the first of them; delays and lags are those
            of the model); needed if the equation has inputs.
        alpha : float
        run : label, optional
            Which group; by default the first.

        Returns
        -------
        pandas.DataFrame
            ``mean``, ``mean_se``, intervals of the curve and of new observations, by output if there are several. Standard
            errors are given the coefficients and noises; intervals allow for the uncertainty of these, as those of
            `get_prediction`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t)) + 0.02 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("output_error")
        >>> forecast = res.forecast([6.0, 7.0], u=[1.0, 1.0])
        >>> forecast["mean"].round(1).tolist()  # close to the gain, 2
        [2.0, 2.0]
        """
        sample, equation = self.model.sample, self.model.equation
        t, u = times_and_inputs(self.model, t, u)
        times = vector_of_times(self.model, t)
        index = self._run_index(run)
        last = sample.t[sample.slice_of(index).stop - 1]
        if not len(times) or (np.diff(times, prepend=last) <= 0).any():
            raise DataError(
                f"t has to increase from the end of the run, {sample.t_name} = {sample.abscissa.label_of_number(float(last))}"
            )
        check_nodes(len(times), len(np.unique(np.diff(times))), equation)
        inputs = inputs_of(self.model, u, len(times))
        wide, ahead = gone_on(sample, index, times, inputs, equation.intersample)
        parts = {name: self._prediction(wide, ahead, times, 0, i).summary_frame(alpha) for i, name in enumerate(equation.outputs)}
        return side_by_side(parts)

    def simulate(self, u: Any = None, t: Any = None, initial: Any = None, *, noise: bool = False, rng: Any = None) -> FloatArray:
        """Solve the fitted equation.

        Parameters
        ----------
        u : array_like, shape (n,) or (n, inputs), or data frame, optional
            Inputs as they are recorded at t; by default those of the first run. Delays and lags are those of the model; before the
            first row inputs were what they are there. A data frame, or a mapping of names to columns, brings them, and the times if
            it has that column, by name.
        t : array_like, shape (n,), or data frame, optional
            Times, increasing; by default those of the first run.
        initial : array_like, shape (M,), optional
            y, y', ... at the first time, or y and the hidden states as of `states`; by default the smoothed state where the first
            run starts. Needed with u where delays or lags leave out the first rows.
        noise : bool
            Whether process noise and measurement noise are added, drawn from `rng`.

        Returns
        -------
        ndarray, shape (n,) or (n, p)

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> res.simulate(u=[1.0, 1.0], t=[0.0, 1.0], initial=[0.0]).round(4)  # 2 (1 - exp(-t))
        array([0.    , 1.2642])
        """
        sample, equation = self.model.sample, self.model.equation
        t, u = times_and_inputs(self.model, t, u)
        s = next(sample.slices())
        whole = sample if u is None or sample.recorded is None else sample.recorded
        times = whole.t[next(whole.slices())] if t is None else vector_of_times(self.model, t)
        if (np.diff(times) <= 0).any():
            raise DataError(
                f"t[{int(np.argmax(np.diff(times) <= 0)) + 1}] does not exceed the time before it; pass increasing times"
            )
        if u is None:
            nodes, at = times, np.arange(len(times)) if t is not None else np.flatnonzero(sample.rows[s])
            inputs = sample.u[s] if sample.inputs else np.zeros((len(times), 0))
            if len(inputs) != len(times):
                raise DataError(f"t has {len(times)} rows and the first run has {len(inputs)}: pass the inputs u at t")
        else:
            nodes, inputs, at = acting(sample, times, inputs_of(self.model, u, len(times)), equation.intersample)
        if initial is None and u is not None and (sample.delay or sample.lags[-1] > 0):
            raise DataError(
                "initial is missing: delays or lags leave out the first rows, so that no state is estimated there; pass y and its "
                "derivatives below the order at the first time"
            )
        if initial is None:
            start = np.asarray(self.fitted.extra["initial"])[0] if equation.terms else self.smoother.at_nodes[0][s.start]
        else:
            start = to_floats(initial, "initial")[0]
        if len(start) != equation.n_states:
            raise DataError(
                f"initial has {len(start)} entries; the state has {equation.n_states}: y and its derivatives below the order"
            )
        generator = check_rng(rng) if noise else None
        if equation.terms:
            states = solve(equation, self.fitted.theta, nodes, inputs, start)
        else:
            states = response.simulate(equation, self.fitted.theta, nodes, inputs, start, self.fitted.q, generator)
        outputs = states[at, : equation.n_outputs]
        if generator is not None:
            sds = np.zeros(equation.n_outputs)
            for channel, sd in zip(sample.channels, self.sigma, strict=True):
                if channel.deriv == 0:
                    sds[channel.output] = sd
            outputs = outputs + sds * generator.standard_normal(outputs.shape)
        return outputs[:, 0] if equation.n_outputs == 1 else outputs

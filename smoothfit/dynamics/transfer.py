"""Transfer functions and frequency responses of fitted linear equations, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray, check_finite, to_floats
from ..errors import DataError, SpecificationError
from ..results import Estimate
from . import response
from .behaviour import Behaviour, unbounded
from .frames import side_by_side

if TYPE_CHECKING:
    import pandas as pd

DECADE = 10.0  # by which the frequencies of a Bode plot go beyond the roots
N_FREQUENCIES = 200


@entry_point
@dataclass(frozen=True, eq=False)
class TransferFunction:
    """The transfer function of one output by one input, H(s) = N(s) / D(s) exp(-s delay); made by `transfer_function`.

    Attributes
    ----------
    input, output : str
    numerator, denominator : ndarray
        Coefficients of N and D, the highest power of s first, in units of t, y and u.
    delay : float
        By which the input acts later.
    gain : smoothfit.results.Estimate
        Static gain H(0), as of `gain`; infinite if the equation integrates its inputs.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> t = np.arange(60) * 0.1
    >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
    >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
    >>> transfer = res.transfer_function()
    >>> transfer.numerator.round(6), transfer.denominator.round(6)  # 2 / (s + 1)
    (array([2.]), array([1., 1.]))
    """

    input: str
    output: str
    numerator: FloatArray
    denominator: FloatArray
    delay: float
    gain: Estimate
    _tables: Callable[[float], pd.DataFrame] = field(repr=False)

    @property
    def zeros(self) -> npt.NDArray[np.complex128]:
        """Roots of the numerator, complex, in units of 1 over those of time."""
        return np.roots(self.numerator).astype(complex)

    @property
    def poles(self) -> npt.NDArray[np.complex128]:
        """Roots of the denominator, complex, in units of 1 over those of time."""
        return np.roots(self.denominator).astype(complex)

    def roots(self, alpha: float = 0.05) -> pd.DataFrame:
        """Poles and zeros, conjugate ones once, with standard errors and intervals of level 1 - alpha, as of `modes`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> res.transfer_function().roots()["rate"].round(6).to_dict()
        {('pole', 0): -1.0}
        """
        return self._tables(alpha)

    def to_scipy(self) -> Any:
        """The ``scipy.signal.TransferFunction``, which has no delay: multiply responses by exp(-s delay), or shift them.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> times, step = res.transfer_function().to_scipy().step(T=[0.0, 1.0])
        >>> step.round(4)  # 2 (1 - exp(-t))
        array([0.    , 1.2642])
        """
        from scipy.signal import TransferFunction as SciPyTransferFunction

        return SciPyTransferFunction(self.numerator, self.denominator)

    def to_control(self) -> Any:
        """The ``control.TransferFunction`` of python-control, with names and without the delay (see ``control.pade``).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> transfer = res.transfer_function().to_control()
        >>> round(float(transfer.dcgain()), 6), transfer.output_labels
        (2.0, ['y'])
        """
        try:
            import control
        except ImportError as error:
            raise ImportError("to_control needs python-control: pip install control") from error
        return control.TransferFunction(self.numerator, self.denominator, inputs=[self.input], outputs=[self.output])


@entry_point
class Transfer(Behaviour):
    """What a linear equation makes of inputs, by frequency.

    Intervals after "kalman" are quantiles of the posterior; else they are normal, of the logarithm of a magnitude and of a phase.
    """

    def transfer_function(self, input: str | None = None, output: str | None = None) -> TransferFunction:  # noqa: A002
        """Transfer function of an output by an input, with its zeros, poles and static gain.

        Parameters
        ----------
        input, output : str, optional
            By default the first.

        Returns
        -------
        TransferFunction
            ``zeros``, ``poles``, ``gain``, all of them with intervals in ``roots()``, and ``to_scipy()``, ``to_control()``.

        Raises
        ------
        SpecificationError
            The equation has no input, nonlinear terms or lags of inputs, whose transfer function is not rational.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(300) * 0.05
        >>> y = 2 * (1 - np.exp(-t)) + 0.02 * np.random.default_rng(0).standard_normal(300)
        >>> res = sf.DerivativeRegression(y, t, np.ones(300), intercept=False).fit("output_error")
        >>> transfer = res.transfer_function()
        >>> print(transfer.poles.round(1), round(transfer.gain, 1))
        [-1.+0.j] 2.0
        >>> low, high = transfer.roots().loc[("pole", 0), ["lower(rate)", "upper(rate)"]]
        >>> bool(low < -1 < high)
        True
        """
        i, j = self._pair(input, output)
        sample = self.model.sample
        if len(sample.lags) > 1:
            raise SpecificationError("the transfer function of an input with lags is not rational; use frequency_response()")
        equation = self.model.equation
        numerator, denominator = response.transfer_polynomials(equation, self.fitted.theta)

        return TransferFunction(
            input=sample.recorded_inputs[i],
            output=equation.outputs[j],
            numerator=np.trim_zeros(numerator[j, i], "f"),
            denominator=denominator,
            delay=sample.delay + sample.lags[0] * (sample.step or 0.0),
            gain=self._static_gain(i, j),
            _tables=partial(self._poles_and_zeros, partial(response.zeros, equation, i, j)),
        )

    def _pair(self, input: str | None, output: str | None) -> tuple[int, int]:  # noqa: A002
        """Places of an input and of an output, by default the first."""
        self._require_inputs("a transfer function")
        names = self.model.sample.recorded_inputs
        if input is not None and input not in names:
            raise SpecificationError(f"input is {input!r}; the inputs are {', '.join(names)}")
        return (0 if input is None else names.index(input)), self._output_index(output)

    def _static_gain(self, i: int, j: int) -> Estimate:
        """The static gain of output j by input i."""
        equation = self.model.equation
        if 0 not in equation.derivatives:
            return Estimate(np.inf, np.inf, ends=unbounded)
        drive = np.eye(1, equation.n_drives, i)[0]
        return self._static_responses(drive)[j]

    def _poles_and_zeros(self, zeros: Callable[[FloatArray], npt.NDArray[Any]], alpha: float) -> pd.DataFrame:
        import pandas as pd

        parts = {"pole": self.modes(alpha)}
        if len(zeros(self.fitted.theta)):
            parts["zero"] = self._table_of_roots(zeros, alpha)
        return pd.concat(parts, names=["kind", "place"])

    @framed
    def frequency_response(self, w: Any, alpha: float = 0.05) -> pd.DataFrame:
        """Response of y in the long run to a sine wave of each input: its magnitude and phase by frequency, with intervals.

        Parameters
        ----------
        w : array_like, shape (n,)
            Angular frequencies in radians per unit of t, positive and increasing. Phases are unwrapped from one to the next.
        alpha : float
            Pointwise intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            Indexed by ``w``: ``magnitude``, the amplitude of y per unit of that of the input, and ``phase`` in degrees, each beside
            its standard error ``se(...)`` by the delta method and the ends ``lower(...)`` and ``upper(...)`` of its interval; under
            the input's name if there are several. Delays and lags are those of the model.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(300) * 0.05
        >>> y = 2 * (1 - np.exp(-t)) + 0.02 * np.random.default_rng(0).standard_normal(300)
        >>> res = sf.DerivativeRegression(y, t, np.ones(300), intercept=False).fit("output_error")
        >>> magnitude, phase = res.frequency_response([1.0])[["magnitude", "phase"]].iloc[0]
        >>> print(round(magnitude, 1), round(phase))  # 2 / sqrt(2), 45 degrees behind
        1.4 -45
        """
        import pandas as pd

        self._require_inputs("a frequency response")
        frequencies = to_floats(w, "w")[0]
        check_finite(frequencies, "w", "pass finite frequencies")
        bad = np.diff(frequencies, prepend=0.0) <= 0
        if bad.any():
            raise DataError(f"w[{int(np.argmax(bad))}] is {frequencies[np.argmax(bad)]:g}; pass positive, increasing frequencies")
        center = self._at_frequencies(frequencies, self.fitted.theta)

        def relative(theta: FloatArray, delay: float) -> FloatArray:
            change = np.log(self._at_frequencies(frequencies, theta) / center)
            later = (delay - self.model.sample.delay) * frequencies[:, None]
            return np.concatenate([change.real.ravel(), (change.imag - later).ravel()])

        _, *spread = self._with_interval(relative, alpha)
        size, delay = np.abs(center), self.model.sample.delay * frequencies[:, None]
        phase = np.degrees(np.unwrap(np.angle(center * np.exp(1j * delay)), axis=0) - delay)
        (se_log, se_angle), (low_log, low_angle), (high_log, high_angle) = (np.reshape(part, (2, *center.shape)) for part in spread)
        columns = {
            "magnitude": size,
            "se(magnitude)": size * se_log,
            "lower(magnitude)": size * np.exp(low_log),
            "upper(magnitude)": size * np.exp(high_log),
            "phase": phase,
            "se(phase)": np.degrees(se_angle),
            "lower(phase)": phase + np.degrees(low_angle),
            "upper(phase)": phase + np.degrees(high_angle),
        }
        index = pd.Index(frequencies, name="w")
        of_pair = ({key: value[:, k] for key, value in columns.items()} for k in range(len(self._pairs)))
        return side_by_side({name: pd.DataFrame(own, index=index) for name, own in zip(self._pairs, of_pair, strict=True)})

    def _at_frequencies(self, w: FloatArray, theta: FloatArray) -> npt.NDArray[Any]:
        """Complex responses (n, pairs) of the outputs to recorded inputs, their lags and delay included."""
        sample, equation = self.model.sample, self.model.equation
        numerators, denominator = response.transfer_polynomials(equation, theta)
        powers = (1j * w)[:, None] ** np.arange(len(denominator))[::-1]
        single = np.einsum("nd,jid->nji", powers, numerators) / (powers @ denominator)[:, None, None]
        back = np.tile(np.array(sample.lags) * (sample.step or 0.0), len(sample.recorded_inputs)) + sample.delay
        late = single * np.exp(-1j * w[:, None, None] * back)
        return np.asarray((late @ self._lags).reshape(len(w), -1))

    def _bode_frequencies(self) -> FloatArray:
        """Frequencies from a decade below the slowest pole or zero to a decade above the fastest."""
        numerators, _ = response.transfer_polynomials(self.model.equation, self.fitted.theta)
        roots = np.concatenate([self.poles(), *(np.roots(row) for row in numerators.reshape(-1, numerators.shape[2]))])
        sizes = np.abs(roots)[np.abs(roots) > 0]
        if not len(sizes):
            sizes = np.pi / np.array([self.model.sample.longest, self.model.sample.gap])
        return np.geomspace(sizes.min() / DECADE, sizes.max() * DECADE, N_FREQUENCIES)

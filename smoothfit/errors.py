"""The errors and warnings of smoothfit. Each error is also the builtin that callers would expect."""


class SmoothfitError(Exception):
    """Base of every error that smoothfit raises."""


class DataError(SmoothfitError, ValueError):
    """Readings, abscissae, standard deviations or weights cannot be used as given."""


class SpecificationError(SmoothfitError, ValueError):
    """An option of a model or a method is out of range or contradicts another."""


class AbsentError(SpecificationError, AttributeError):
    """A kind of fit has no such result, or has it no longer; the message names the alternative."""


class IdentificationError(SmoothfitError, ValueError):
    """The readings leave part of the curve undetermined; the message names that part."""


class UnknownNameError(SmoothfitError, KeyError):
    """There are no readings, or no curve, of the name that is asked for; the message lists those there are."""

    def __str__(self) -> str:
        return str(self.args[0])  # of which KeyError shows the repr


class KnotError(SmoothfitError, ValueError):
    """Knots cannot carry the requested splines."""


class ConvergenceError(SmoothfitError, RuntimeError):
    """An optimum could not be certified.

    Attributes
    ----------
    value : float
        The lowest criterion that the search had reached.
    """

    def __init__(self, message: str, value: float = float("inf")):
        super().__init__(message)
        self.value = value


class NumericalError(SmoothfitError, ArithmeticError):
    """A computation left the range of floating-point numbers."""


class ResourceError(SmoothfitError, MemoryError):
    """A result would need more memory than the machine has; it is refused before anything is allocated."""


class SmoothfitWarning(UserWarning):
    """Base of every warning that smoothfit issues."""


class RoughnessWarning(SmoothfitWarning):
    """The prior makes a derivative rougher than its use suggests."""


class BiasWarning(SmoothfitWarning):
    """A method's assumptions fail in these data so that its estimate is materially biased; the message names another."""


class MisfitWarning(SmoothfitWarning):
    """The observations contradict the model of a fit, so that its intervals may be off; the message names what to do."""


class PrecisionWarning(SmoothfitWarning):
    """Rounding moves an estimate by what counts beside its uncertainty."""


class IntegrationWarning(SmoothfitWarning):
    """Too few points represent the posterior of what is estimated; intervals that integrate over it may be off."""


class SamplingWarning(SmoothfitWarning):
    """A fitted pole is unstable, or faster than the samples can tell."""


class ExactSeriesWarning(SmoothfitWarning):
    """One of several series is estimated to have no noise, or all its observations are equal: the rest hangs on it."""


class LeverageWarning(SmoothfitWarning):
    """A robust covariance rests on observations that determine a part of the fit nearly by themselves."""

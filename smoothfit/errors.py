"""The errors and warnings of smoothfit. Each error is also the builtin that callers would expect."""


class SmoothfitError(Exception):
    """Base of every error that smoothfit raises."""


class DataError(SmoothfitError, ValueError):
    """Observations, x, standard deviations or weights cannot be used as given."""


class SpecificationError(SmoothfitError, ValueError):
    """An option of a model or a method is out of range or contradicts another."""


class AbsentError(SpecificationError, AttributeError):
    """The fit does not have this result, or no longer has it; the message names the alternative."""


class IdentificationError(SmoothfitError, ValueError):
    """The observations leave part of the curve undetermined; the message names that part."""


class UnknownNameError(SmoothfitError, KeyError):
    """No series or curve has the requested name; the message lists the existing names."""

    def __str__(self) -> str:
        return str(self.args[0])  # of which KeyError shows the repr


class KnotError(SmoothfitError, ValueError):
    """The knots do not define the requested splines."""


class ConvergenceError(SmoothfitError, RuntimeError):
    """The search for an optimum did not converge.

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
    """A derivative is rougher under the prior than its use suggests."""


class BiasWarning(SmoothfitWarning):
    """A method's assumptions fail in these data so that its estimate is materially biased; the message names another."""


class MisfitWarning(SmoothfitWarning):
    """The observations contradict the model, so that intervals may be wrong; the message names a remedy."""


class PrecisionWarning(SmoothfitWarning):
    """Rounding error in an estimate is not negligible relative to its uncertainty."""


class IntegrationWarning(SmoothfitWarning):
    """Intervals integrate over the posterior of the parameters at too few points, and may be wrong."""


class SamplingWarning(SmoothfitWarning):
    """A fitted pole is unstable or not identified, or a pole or a season too fast for the sampling interval."""


class ExactSeriesWarning(SmoothfitWarning):
    """One of several series is estimated to have no noise, or all its observations are equal, so that it dominates the fit."""


class LeverageWarning(SmoothfitWarning):
    """A robust covariance depends on a few observations of very high leverage."""

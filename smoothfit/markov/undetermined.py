"""What observations leave undetermined, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from .processes import Processes


def undetermined(processes: Processes, effects: Sequence[str], n_states: int, mask: int) -> str:
    """What no observation fixes: the components of the state whose bits are in `mask`; `effects` are its last ones."""
    labels: list[str] = []
    trends: list[str] = []
    at = 0
    for term, label in zip_longest(processes.terms, processes.labels):
        for component in term.components:
            parts = [j for j in range(component.dim) if mask >> (at + j) & 1]
            if parts:
                labels.append(label or component.naming(parts))
                trends += [] if label or component.level is None else labels[-1:]
            at += component.dim
        late = [term.dim - term.late + j for j in range(term.late) if mask >> (at + j) & 1]
        labels += [term.naming(late)] if late else []
        at += term.late
    first_effect = n_states - len(effects)
    found = [name for j, name in enumerate(effects) if mask >> (first_effect + j) & 1]
    labels += [name if name.startswith("bias.") else f"the coefficient of {name}" for name in found]
    remedy = "add observations of f, or leave out a component or a regressor"
    if len(trends) > 1:
        remedy = (
            "each has an unknown level, and only their sum is observed: keep one of them; sf.priors.LocalLinearTrend() has "
            "noise of its level and of its slope, and stationary components have no level"
        )
    if any(name.startswith("bias.") for name in found):
        remedy = (
            "a bias is relative to a series without one: leave bias= of one series out, which is then the reference, pass it "
            "as a number, or add observations of f without a bias"
        )
    return (
        f"the observations leave part of {' and '.join(labels) or 'the state'} undetermined: it is not identified separately "
        f"from the rest; {remedy}"
    )

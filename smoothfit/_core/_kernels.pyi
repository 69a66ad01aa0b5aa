import numpy as np
from numpy.typing import NDArray

_Bytes = NDArray[np.uint8]
_Floats = NDArray[np.float64]
_Int32 = NDArray[np.int32]
_Int64 = NDArray[np.int64]

__version__: str
MISSING: int

class KernelError(ArithmeticError): ...

def require_identified(
    delta: _Floats, deriv: _Bytes, group: _Bytes, y: _Floats, ratio: _Floats, order: int, sigma2: _Floats
) -> None: ...
def likelihood(
    delta: _Floats, deriv: _Bytes, group: _Bytes, y: _Floats, ratio: _Floats, order: int, q: _Floats, sigma2: _Floats
) -> _Floats: ...
def likelihood_noise(
    delta: _Floats, deriv: _Bytes, group: _Bytes, y: _Floats, ratio: _Floats, order: int, q: _Floats, sigma2: _Floats
) -> _Floats: ...
def likelihood_gradient(
    delta: _Floats,
    deriv: _Bytes,
    group: _Bytes,
    y: _Floats,
    ratio: _Floats,
    order: int,
    q: float,
    sigma2: _Floats,
    directions: _Floats,
) -> _Floats: ...
def likelihood_second(
    delta: _Floats,
    deriv: _Bytes,
    group: _Bytes,
    y: _Floats,
    ratio: _Floats,
    order: int,
    q: float,
    sigma2: _Floats,
    directions: _Floats,
    others: _Floats,
) -> _Floats: ...
def filter(
    delta: _Floats, deriv: _Bytes, group: _Bytes, y: _Floats, ratio: _Floats, order: int, q: float, sigma2: _Floats
) -> _Floats: ...
def smooth(gap: _Floats, order: int, q: float, filtered: _Floats) -> _Floats: ...
def predict(
    order: int,
    q: float,
    filtered: _Floats,
    posterior: _Floats,
    left: NDArray[np.int64],
    ahead: _Floats,
    behind: _Floats,
) -> _Floats: ...
def variances(order: int, posterior: _Floats) -> _Floats: ...
def higher_derivatives(gap: _Floats, order: int, q: float, filtered: _Floats, posterior: _Floats) -> _Floats: ...
def links(gap: _Floats, order: int, q: float, filtered: _Floats, keep: _Bytes) -> _Floats: ...
def draw(order: int, links: _Floats, normal: _Floats, derivs: _Int64) -> _Floats: ...
def shocks(
    delta: _Floats, deriv: _Bytes, group: _Bytes, y: _Floats, ratio: _Floats, order: int, q: float, sigma2: _Floats
) -> tuple[_Floats, _Floats, NDArray[np.bool_]]: ...
def innovations(
    delta: _Floats, deriv: _Bytes, group: _Bytes, y: _Floats, ratio: _Floats, order: int, q: float, sigma2: _Floats
) -> _Floats: ...

class Stream:
    def __init__(
        self,
        x: _Floats,
        delta: _Floats,
        deriv: _Bytes,
        group: _Bytes,
        y: _Floats,
        ratio: _Floats,
        arrival: _Int64,
        states: _Floats,
        sigma2: _Floats,
        order: int,
        q: float,
        x_unit: float,
    ) -> None: ...
    def run(self, start: int, stop: int) -> None: ...
    def push(self, i: int, x: float, y: float, deriv: int, group: int, ratio: float, arrival: int) -> bool: ...

def fit_many(
    start: _Int64,
    delta: _Floats,
    deriv: _Bytes,
    group: _Bytes,
    y: _Floats,
    ratio: _Floats,
    design_ratio: _Floats,
    order: int,
    scale_free: bool,
    settings: _Floats,
    interpolation: _Floats,
    threads: int,
) -> _Floats: ...
def predict_many(
    start: _Int64,
    delta: _Floats,
    deriv: _Bytes,
    group: _Bytes,
    y: _Floats,
    ratio: _Floats,
    x: _Floats,
    x_unit: _Floats,
    order: int,
    q: _Floats,
    sigma2: _Floats,
    wanted: int,
    at: _Floats,
    threads: int,
) -> _Floats: ...
def sum_many(
    start: _Int64,
    delta: _Floats,
    deriv: _Bytes,
    group: _Bytes,
    y: _Floats,
    ratio: _Floats,
    order: int,
    q: _Floats,
    threads: int,
) -> _Floats: ...
def sum_many_second(
    start: _Int64,
    delta: _Floats,
    deriv: _Bytes,
    group: _Bytes,
    y: _Floats,
    ratio: _Floats,
    order: int,
    q: float,
    threads: int,
) -> _Floats: ...

MAX_DEGREE: int

def cells(breaks: _Floats, n_cells: int) -> _Int32: ...
def basis_rows(
    x: _Floats,
    knots: _Floats,
    breaks: _Floats,
    span: _Int64,
    cells: _Int32,
    degree: int,
    deriv: int,
    strict: bool,
) -> tuple[_Floats, _Int32]: ...
def dense_rows(
    x: _Floats,
    knots: _Floats,
    breaks: _Floats,
    span: _Int64,
    cells: _Int32,
    degree: int,
    deriv: int,
    strict: bool,
    skipped: int,
) -> _Floats: ...
def spline_values(
    x: _Floats,
    breaks: _Floats,
    span: _Int64,
    cells: _Int32,
    per_width: _Floats,
    scaled: _Floats,
    strict: bool,
) -> _Floats: ...
def filtered_moments(
    y: _Floats, u: _Floats, start: _Int64, a: _Floats, first_lag: int, intercept: bool, inverse: _Floats
) -> _Floats: ...
def filtered_residual(
    y: _Floats, u: _Floats, start: _Int64, a: _Floats, first_lag: int, intercept: bool, psi: _Floats
) -> _Floats: ...
def linear_likelihood(
    step: NDArray[np.int32],
    u: _Floats,
    y: _Floats,
    ratio: _Floats,
    component: _Bytes,
    T: _Floats,
    Q: _Floats,
    G: _Floats,
    variance: _Floats,
    keep: bool,
) -> tuple[_Floats, _Floats, int, int, int, _Floats, _Floats]: ...
def linear_smooth(
    step: NDArray[np.int32],
    u: _Floats,
    y: _Floats,
    ratio: _Floats,
    component: _Bytes,
    T: _Floats,
    Q: _Floats,
    G: _Floats,
    variance: _Floats,
) -> tuple[_Floats, _Floats]: ...
def absorb_rows(
    values: _Floats, first: _Int64, rhs: _Floats, factor: _Floats, z: _Floats, rest: float
) -> tuple[_Floats, _Floats, float]: ...
def absorb_spline_rows(
    x: _Floats,
    y: _Floats,
    root: _Floats,
    knots: _Floats,
    breaks: _Floats,
    span: _Int64,
    cells: _Int32,
    degree: int,
    deriv: int,
    strict: bool,
    w: int,
) -> tuple[_Floats, _Floats, float]: ...
def solve_stack(
    sources: _Floats, rhs: _Floats, scale: _Floats
) -> tuple[_Floats, _Floats, _Floats, _Floats, _Floats, _Floats, float, float]: ...
def solve_stack_slope(sources: _Floats, rhs: _Floats, scale: _Floats, slope: _Floats) -> tuple[_Floats, _Floats, float, float]: ...
def band_forms(values: _Floats, first: _Int64, band: _Floats) -> _Floats: ...
def stack_values(sources: _Floats, rhs: _Floats, scales: _Floats, solved: bool) -> tuple[_Floats, _Floats, _Floats, _Floats]: ...

class MarkovRows:
    def __init__(self, step: _Int32, first: _Int64, H: _Floats, y: _Floats, ratio: _Floats, group: _Bytes) -> None: ...

class MarkovSteps:
    def __init__(
        self,
        processes: _Int32,
        frequency: _Floats,
        dt: _Floats,
        class_dt: _Int64,
        slots: NDArray[np.int8],
        sources: _Floats,
        n_accumulators: int,
        n_fixed: int,
    ) -> None: ...

def markov_likelihood(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[_Floats, ...],
    parameters: _Floats,
    B: _Floats,
    variance: _Floats,
    is_still: bool,
) -> tuple[_Floats, _Floats, int, int, int]: ...
def markov_scan(
    rows: MarkovRows, steps: MarkovSteps, parameters: _Floats, B: _Floats, variance: _Floats, n_effects: int, is_complete: bool
) -> tuple[_Floats, _Int64]: ...
def markov_innovations(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[_Floats, ...],
    parameters: _Floats,
    B: _Floats,
    variance: _Floats,
    is_still: bool,
) -> _Floats: ...
def markov_smooth(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[_Floats, ...],
    parameters: _Floats,
    B: _Floats,
    variance: _Floats,
    is_still: bool,
) -> tuple[_Floats, _Floats]: ...
def markov_draw(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[_Floats, ...],
    parameters: _Floats,
    B: _Floats,
    variance: _Floats,
    is_still: bool,
    normals: _Floats,
) -> _Floats: ...
def markov_matrices(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[_Floats, ...],
    parameters: _Floats,
    B: _Floats,
    variance: _Floats,
    is_still: bool,
) -> tuple[_Floats, _Floats, _Floats, _Floats]: ...
def markov_adjoint(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[_Floats, ...],
    parameters: _Floats,
    B: _Floats,
    variance: _Floats,
    is_still: bool,
) -> tuple[_Floats, _Floats, _Floats, _Floats]: ...
def markov_end(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[_Floats, ...],
    parameters: _Floats,
    B: _Floats,
    variance: _Floats,
    is_still: bool,
    kept: _Int32,
) -> _Floats: ...

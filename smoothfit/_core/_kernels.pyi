"""
Compiled kernels of smoothfit; see the headers in smoothfit/_core for the algorithms.
"""

from typing import Annotated

import numpy
from numpy.typing import NDArray

VERSION: str = "0.1.0"

class KernelError(ArithmeticError):
    """
    A kernel stopped: (what happened, where), for example ('overflow', row).
    """

MAX_DEGREE: int = 12

def cells(
    breaks: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], n_cells: int
) -> NDArray[numpy.int32]: ...
def basis_rows(
    x: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    knots: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    breaks: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    span: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    cells: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
    degree: int,
    deriv: int,
    strict: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.int32]]: ...
def dense_rows(
    x: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    knots: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    breaks: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    span: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    cells: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
    degree: int,
    deriv: int,
    strict: bool,
    skipped: int,
) -> NDArray[numpy.float64]: ...
def spline_values(
    x: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    breaks: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    span: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    cells: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
    per_width: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    scaled: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    strict: bool,
) -> NDArray[numpy.float64]: ...

class WienerSeries:
    def __init__(
        self, start: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)], rows: WienerRows
    ) -> None: ...

class SearchSettings:
    def __init__(
        self,
        *,
        limit: float,
        coarse: float,
        exact_sd: float,
        decrement: float,
        near: float,
        level: float,
        hopeless: float,
        flat: float,
        longest_step: float,
        grid: int,
        max_iterations: int,
        interpolation: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    ) -> None: ...

def fit_many(
    series: WienerSeries,
    design_ratio: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    order: int,
    scale_free: bool,
    settings: SearchSettings,
    threads: int,
) -> NDArray[numpy.float64]: ...
def predict_many(
    series: WienerSeries,
    x: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    x_unit: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    order: int,
    q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    wanted: int,
    at: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    threads: int,
) -> NDArray[numpy.float64]: ...
def terms_many(
    series: WienerSeries,
    which: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    order: int,
    q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    threads: int,
) -> NDArray[numpy.float64]: ...
def intervals_many(
    series: WienerSeries,
    which: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    x: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    x_unit: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    order: int,
    q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    weights: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    wanted: int,
    at: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    law: StandardLaw,
    p: float,
    score: float,
    threads: int,
) -> NDArray[numpy.float64]: ...
def sum_many_second(series: WienerSeries, order: int, q: float, threads: int) -> NDArray[numpy.float64]: ...

class StandardLaw:
    def __init__(
        self, cells: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], farthest: float
    ) -> None: ...

def mixture_intervals(
    law: StandardLaw,
    mean: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    scale2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    weights: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    p: float,
    score: float,
) -> NDArray[numpy.float64]: ...
def mixture_probabilities(
    law: StandardLaw,
    value: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    mean: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    scale2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    weights: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def links(
    gap: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    order: int,
    q: float,
    filtered: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    keep: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def draw(
    order: int,
    link: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    normal: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    derivs: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def shocks(
    series: WienerRows,
    order: int,
    q: float,
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.bool_]]: ...
def innovations(
    series: WienerRows,
    order: int,
    q: float,
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...

class Stream:
    def __init__(
        self,
        x: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        delta: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        deriv: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu")],
        group: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu")],
        y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        ratio: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        arrival: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu")],
        states: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu")],
        order: int,
        q: float,
        x_unit: float,
    ) -> None: ...
    def run(self, start: int, stop: int) -> None: ...
    def push(self, i: int, x: float, y: float, deriv: int, group: int, ratio: float, arrival: int) -> bool: ...

def filtered_moments(
    y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    u: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    start: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    a: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    first_lag: int,
    intercept: bool,
    inverse: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def filtered_residual(
    y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    u: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    start: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    a: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    first_lag: int,
    intercept: bool,
    psi: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def linear_likelihood(
    step: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
    u: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    ratio: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    component: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
    T: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    Q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    G: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    keep: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], int, int, int, NDArray[numpy.float64], NDArray[numpy.float64]]: ...
def linear_likelihoods(
    step: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
    u: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    ratio: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    component: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
    T: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    Q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    G: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], int]: ...
def linear_smooth(
    step: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
    u: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    ratio: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    component: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
    T: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    Q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    G: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]: ...
def discretize(
    systems: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    entry: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    steps: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    ramp: bool,
    noise: bool,
) -> NDArray[numpy.float64]: ...

class MarkovRows:
    def __init__(
        self,
        step: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
        first: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
        H: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        ratio: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        offset: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        group: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
    ) -> None: ...

class MarkovSteps:
    def __init__(
        self,
        processes: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
        constant: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        dt: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        class_dt: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
        slots: Annotated[NDArray[numpy.int8], dict(order="C", device="cpu", writable=False)],
        sources: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        n_accumulators: int,
        n_fixed: int,
        spread: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    ) -> None: ...

def markov_likelihood(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], int, int, int]: ...
def markov_scan(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    n_effects: int,
    is_complete: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.int64]]: ...
def markov_innovations(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
) -> NDArray[numpy.float64]: ...
def markov_matrices(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64]]: ...
def markov_end(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
    kept: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def markov_smooth(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]: ...
def markov_draw(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
    normals: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def markov_joint(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
    asked: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def markov_adjoint(
    rows: MarkovRows,
    steps: MarkovSteps,
    tables: tuple[Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)], ...],
    parameters: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    B: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    variance: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    is_still: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64]]: ...
def absorb_rows(
    values: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    first: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    rhs: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    factor: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    z: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    rest: float,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], float]: ...
def recursive_residuals(
    values: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    first: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    rhs: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    factor: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    z: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64]]: ...
def absorb_spline_rows(
    x: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    root: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    knots: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    breaks: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    span: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    cells: Annotated[NDArray[numpy.int32], dict(order="C", device="cpu", writable=False)],
    degree: int,
    deriv: int,
    strict: bool,
    w: int,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], float]: ...
def solve_stack(
    sources: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    rhs: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    scale: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> tuple[
    NDArray[numpy.float64],
    NDArray[numpy.float64],
    NDArray[numpy.float64],
    NDArray[numpy.float64],
    NDArray[numpy.float64],
    NDArray[numpy.float64],
    float,
    float,
]: ...
def stack_values(
    sources: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    rhs: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    scales: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    solved: bool,
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64], NDArray[numpy.float64]]: ...
def solve_stack_slope(
    sources: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    rhs: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    scale: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    slope: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], float, float]: ...
def band_forms(
    values: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    first: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    band: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...

MISSING: int = 255

class WienerRows:
    def __init__(
        self,
        delta: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        deriv: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
        group: Annotated[NDArray[numpy.uint8], dict(order="C", device="cpu", writable=False)],
        y: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
        ratio: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    ) -> None: ...

def require_identified(
    series: WienerRows, order: int, sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)]
) -> None: ...
def likelihood(
    series: WienerRows,
    order: int,
    q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def likelihood_noise(
    series: WienerRows,
    order: int,
    q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def likelihood_gradient(
    series: WienerRows,
    order: int,
    q: float,
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    directions: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def likelihood_second(
    series: WienerRows,
    order: int,
    q: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    directions: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    others: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def filter(
    series: WienerRows,
    order: int,
    q: float,
    sigma2: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def smooth(
    gap: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    order: int,
    q: float,
    filtered: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def predict(
    order: int,
    q: float,
    filtered: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    posterior: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    left: Annotated[NDArray[numpy.int64], dict(order="C", device="cpu", writable=False)],
    ahead: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    behind: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...
def variances(
    order: int, posterior: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)]
) -> NDArray[numpy.float64]: ...
def higher_derivatives(
    gap: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    order: int,
    q: float,
    filtered: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
    posterior: Annotated[NDArray[numpy.float64], dict(order="C", device="cpu", writable=False)],
) -> NDArray[numpy.float64]: ...

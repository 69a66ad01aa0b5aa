import ctypes
import os
import subprocess
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import settings

import smoothfit as sf

matplotlib.use("Agg")

# The same examples in every run, however loaded the machine is; `pytest --hypothesis-profile=search` draws new ones, and more.
# Tests whose examples are dear say a smaller number themselves.
settings.register_profile("search", deadline=None, max_examples=200)
settings.register_profile("repeat", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("repeat")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """As many processes as processors; none for chosen tests or with -s, so that print() and breakpoint() work as usual."""
    chosen = config.option.keyword or config.getoption("lf", False) or any("::" in argument for argument in config.args)
    if chosen or config.option.capture == "no":
        return 0
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes():
    """Every process has a processor: threads of their own would stand in one another's way."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="module")
def fresh_generator(request):
    """The state in which the module's generator was when its tests began to run."""
    generator = getattr(request.module, "RNG", None)
    return generator and (generator, generator.bit_generator.state)


@pytest.fixture(autouse=True)
def same_draws_in_any_order(fresh_generator):
    """Every test draws what it would draw alone, whichever tests ran before it in its process."""
    if fresh_generator is not None:
        generator, state = fresh_generator
        generator.bit_generator.state = state


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def wave():
    """Noisy readings of sin and of its derivative."""
    rng = np.random.default_rng(42)
    x, t = np.sort(rng.uniform(0, 6, 60)), rng.uniform(0, 6, 40)
    return sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(60), name="level") + sf.observe(
        t, np.cos(t) + 0.2 * rng.standard_normal(40), deriv=1, name="rate"
    )


@pytest.fixture(scope="session")
def quadruple(tmp_path_factory):
    """The filter and smoother in quadruple precision: (rows, order, q, sigma2) -> (means, variances), terms.

    Compiled here and nowhere else; tests that ask for it are marked `xdist_group("quadruple")`, so that one process does.
    """
    here = Path(__file__).parent
    library = tmp_path_factory.mktemp("quadruple") / "kernels.so"
    command = [os.environ.get("CXX", "c++"), "-std=c++17", "-O1", "-ffp-contract=off", "-DSMOOTHFIT_QUAD", "-shared", "-fPIC"]
    paths = [f"-I{here.parent / 'smoothfit' / '_core'}", str(here / "reference" / "kernels.cpp"), "-o", str(library)]
    try:
        compiled = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no C++ compiler is at hand")
    if compiled.returncode and "__float128" in compiled.stderr:
        pytest.skip("the compiler has no __float128")
    assert compiled.returncode == 0, compiled.stderr
    function = ctypes.CDLL(str(library)).smooth_reference

    def array(values, kind):
        values = np.ascontiguousarray(values, kind)
        return values, values.ctypes.data_as(ctypes.c_void_p)

    def smooth(rows, order, q, sigma2):
        kinds = (np.float64, np.uint8, np.uint8, np.float64, np.float64)
        held = [array(values, kind) for values, kind in zip(rows, kinds, strict=True)]
        variances, n = array(sigma2, np.float64), len(held[0][0])
        moments, terms = np.empty(2 * n * order), np.empty(3)
        places = [values.ctypes.data_as(ctypes.c_void_p) for values in (moments, terms)]
        nodes = function(
            ctypes.c_int64(n), *(p for _, p in held), order, ctypes.c_double(q), variances[1], ctypes.c_int64(len(sigma2)), *places
        )
        assert nodes > 0
        return moments[: 2 * nodes * order].reshape(2, nodes, order), terms

    return smooth

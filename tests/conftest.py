import os

import matplotlib
import numpy as np
import pytest
from hypothesis import settings

import smoothfit as sf

matplotlib.use("Agg")

# The same examples in every run, however loaded the machine is; `pytest --hypothesis-profile=search` draws new ones.
settings.register_profile("search", deadline=None)
settings.register_profile("repeat", deadline=None, derandomize=True)
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

import matplotlib
import numpy as np
import pytest

import smoothfit as sf

matplotlib.use("Agg")


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

"""Side-by-side fits where the system refuses threads or memory, and when the user interrupts them."""

import subprocess
import sys

import pytest

SETUP = """
import os, resource, signal, threading, time
import numpy as np, pandas as pd, smoothfit as sf
from smoothfit.errors import ResourceError

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs these tests in its background ignores it

def frame(curves, n):
    x = np.tile(np.arange(float(n)), curves)
    of = np.repeat(np.arange(curves), n)
    return pd.DataFrame({"id": of, "x": x, "y": np.sin(x / 5 + of) + 0.1 * np.cos(91.0 * x + of)})

def fit(df, threads):
    return sf.fit_curves(df, by="id", x="x", readings={"y": 0}, threads=threads, progress=False)
"""
HUGE = 2**46  # bytes: no system gives a thread such a stack
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and signals of Linux")


def run(code, stack=None):
    """The output of code in a process of its own; `stack` is what its threads ask for."""

    def limited():
        import resource

        if stack is not None:
            resource.setrlimit(resource.RLIMIT_STACK, (stack, resource.RLIM_INFINITY))

    done = subprocess.run(
        [sys.executable, "-c", SETUP + code], capture_output=True, text=True, timeout=120, preexec_fn=limited, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_refused_threads_leave_the_work_to_those_that_run():
    code = """
try:
    threading.Thread(target=print).start()
    refused = False
except RuntimeError:
    refused = True
df = frame(100, 20)
one, many = fit(df, 1), fit(df, 8)
print(refused, one.params.equals(many.params), one.predict([3.5]).equals(many.predict([3.5])))
"""
    assert run(code, stack=HUGE) == ["True", "True", "True"]


def test_failed_allocations_are_errors_of_ours():
    code = """
from smoothfit._core import _kernels
fits = fit(frame(50, 20), 2)
fits.predict([1.0])
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**26, resource.RLIM_INFINITY))
found = fits._fitted.side_by_side
batch = found.batch
try:  # 400 MB of results, past the estimate of Python
    _kernels.predict_many(batch.series, batch.x, batch.x_unit, 2, found.q, found.sigma2, 0, np.zeros(500_000), 2)
except ResourceError as error:
    print(isinstance(error, MemoryError), "memory" in str(error))
try:
    fits.predict(np.broadcast_to(1.0, 10**7))
except ResourceError as error:
    print("ours")
"""
    assert run(code) == ["True", "True", "ours"]


def test_control_c_ends_the_threads():
    code = """
fit(frame(3, 40), 2)  # imports what it needs: an interrupt of `exec` there would end Python with a signal, even if it is caught
df = frame(3000, 400)
began = time.monotonic()
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    while time.monotonic() < began + 60:
        fit(df, 2)
except KeyboardInterrupt:
    print(time.monotonic() - began < 10, threading.active_count())
"""
    assert run(code) == ["True", "1"]


def test_control_c_ends_a_single_search():
    """A curve of many rows is interrupted between two passes over them."""
    code = """
from smoothfit._core import _kernels
from smoothfit.statespace.batch import SETTINGS, Batch
observations = sf.observe(np.arange(400_000.0), np.sin(np.arange(400_000.0)))
batch = Batch.of(observations, (np.zeros(400_000, np.int64),), 3, False)
arguments = (batch.series, batch.design_ratio, 3, True, SETTINGS, 1)
began = time.monotonic()
_kernels.fit_many(*arguments)
whole = time.monotonic() - began
threading.Timer(whole / 4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
began = time.monotonic()
try:
    _kernels.fit_many(*arguments)
except KeyboardInterrupt:
    print(time.monotonic() - began < 0.9 * whole)
"""
    assert run(code) == ["True"]

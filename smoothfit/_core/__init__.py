"""The compiled kernels (C++17) and the headers they are made from.

``_kernels`` is built at installation. In a source checkout this directory holds only its sources; where a checkout
hides the installed package (a script or notebook started in the repository's root), the compiled module is taken from
the installed package on ``sys.path``, if it is of the same version.
"""

import os
import sys

from .. import __version__

__path__ += [
    directory
    for directory in (os.path.join(entry, "smoothfit", "_core") for entry in sys.path)
    if os.path.isdir(directory) and directory not in __path__
]

try:
    from . import _kernels
except ModuleNotFoundError:
    raise ImportError("smoothfit's kernels are not compiled; in the root of the repository run: pip install .") from None

if __version__ != _kernels.VERSION:
    raise ImportError(
        f"the installed kernels are of smoothfit {_kernels.VERSION} and the sources of {__version__}; "
        "in the root of the repository run: pip install ."
    )

__all__ = ["_kernels"]

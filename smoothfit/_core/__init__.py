"""The compiled kernels (C++17) and the headers they are made from.

``_kernels`` is built at installation. In a source checkout this directory holds only its sources; where a checkout
hides the installed package (a script or notebook started in the repository's root), the compiled module is taken from
the installed package beside it on ``sys.path``.
"""

import os
import sys

__path__ += [
    directory
    for directory in (os.path.join(entry, "smoothfit", "_core") for entry in sys.path)
    if os.path.isdir(directory) and directory not in __path__
]

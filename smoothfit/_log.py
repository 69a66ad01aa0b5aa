"""The logger of the package, silent unless a program configures logging.

INFO reports which search ran and how it ended, DEBUG each of its iterations.
"""

import logging

logger = logging.getLogger("smoothfit")
logger.addHandler(logging.NullHandler())

"""How far the estimates are from published measurements: fits carbon/roofline.py's coefficients, checks them, writes docs/accuracy.md."""

import os

# Before numpy is loaded: threads for products of some ten numbers only wait for each other, on a busy machine for minutes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

"""How far the estimates are from published measurements: fits carbon/roofline.py's coefficients, checks them, writes docs/accuracy.md."""

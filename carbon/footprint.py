"""Joules and grams of one workload: the only place where grams are computed. Pure.

Forecast and account are the same call with other tokens. (Seam; see carbon/energy.py and carbon/intensity.py.)
"""

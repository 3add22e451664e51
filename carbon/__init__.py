"""Joules and grams of one inference: what it used, on which grid, and how sure that is. Pure, apart from sources/ and meters/.

`energy.profile_of` and `energy.estimator` turn a deployment's settings into a method, `intensity.Table` knows the grids, and
`footprint.Footprint.of` is the only place where joules become grams. docs/carbon.md says what a figure means.
"""

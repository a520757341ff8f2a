"""The report's plots. Each function returns a `training.svg.Figure`, whose title is the finding.

The titles are computed beside the plots, from the same figures, so that they cannot disagree.
"""

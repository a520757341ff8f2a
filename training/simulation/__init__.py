"""A shop that can be computed: a generating process whose true churn probability is known.

`mechanism` holds every constant, `shoppers` draws who the customers are, `process` lets them
live day by day, `truth` integrates the same mechanism exactly, `details` dresses bare events up
as a log, and `files` writes the folder. `training.simulate` puts them together.
"""

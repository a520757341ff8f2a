"""The domain of churn prediction: pure functions and plain values.

No web framework, no database, no clock; only `bundle` and `registry` touch files.
"""

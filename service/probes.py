"""The paths that tell how the service is.

They are asked every few seconds: they are answered whatever the load, and not traced.
"""

PROBES = frozenset({"/health/live", "/health/ready", "/metrics"})

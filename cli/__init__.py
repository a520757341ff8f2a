"""The command line: thin commands over `training`, `service` and `churn`."""

"""The offline pipeline: from a log of events to a published model."""

"""The HTTP service: one customer or a list in, probability, reasons and an action out."""

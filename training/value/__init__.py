"""What is at stake with a customer: fitted, and checked on what became of it."""

"""The audit log: who was scored, by which model, for whom, and what was done to the service."""

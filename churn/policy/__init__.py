"""What is worth doing about a customer: actions, what they cost and bring, and the choice."""

"""Who gets what under a budget and capacities, with what one more of each would be worth."""

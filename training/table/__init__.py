"""A ready feature table with a label, for users whose behavioural features are already computed.

No events, so no loop and no population: every column is the user's own. Where the rows have dates
the model is judged out of time; where they have none, in folds that keep together what belongs
together.
"""

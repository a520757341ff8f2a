"""Who may call: keys, what each endpoint asks of them, and the check between the two."""

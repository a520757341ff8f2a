"""Lists of customers of any length: read, scored and written a chunk at a time."""

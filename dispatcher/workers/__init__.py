"""One machine's worker processes, and the sessions that they serve."""

"""Who serves which session, on many machines: records in Redis and their transitions."""

"""One sender for each version of the protocol."""

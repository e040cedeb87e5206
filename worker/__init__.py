"""One process, one meeting, one face."""

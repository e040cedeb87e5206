"""Watching a participant in a browser, by WHEP."""

"""Watching a participant without the SDK: WHEP, and the pages for a browser.

Depends on `signalling`, whose rooms it listens to, on `media` and on `http`.
"""

"""The HTTP service that owns workers: it takes join requests and keeps a face in each meeting."""

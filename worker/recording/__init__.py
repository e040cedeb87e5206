"""The flight recorder: a session in a bounded file, and how it is read."""

"""The faces that ship with the worker, one folder each."""

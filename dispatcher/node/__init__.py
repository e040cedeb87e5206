"""The node program: one machine's slots in a pool of many."""

"""A worker as a process: the fork server, the channel to the dispatcher, logs and metrics."""

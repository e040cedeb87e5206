"""What is reachable over HTTP: sockets, limits, authentication, routes."""

"""What the SDK asks before any media flows: the init request, and protoo over a WebSocket."""

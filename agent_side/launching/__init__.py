"""How the dispatcher is reached and asked for a face; one request is `agent_side.launch`."""

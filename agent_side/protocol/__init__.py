"""What the messages of `agent_side.wire` are declared with."""

"""What a test or a person on this machine may see and change while the room runs."""

"""What a turn is to a worker: who is obeyed, what was said, and how much of it was heard."""

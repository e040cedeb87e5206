"""What meetings have in common: tracks, sends that wait, rejoining, and the SDK's private parts."""

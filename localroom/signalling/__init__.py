"""What the SDK's clients ask for: the init configuration, and protoo with its peers and rooms.

Depends on `media` and `http`. What others want to know of a room, it emits; see `events`.
"""

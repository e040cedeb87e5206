"""The room's HTTP server, and the socket that limits its connections.

It imports nothing of the room.
"""

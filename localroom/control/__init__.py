"""What a test or a person on this machine reads and changes while the room runs.

Depends on all other folders; nothing but `localroom.server` imports it.
"""

"""The versions of the protocol as a worker hears them, one file each."""

"""Rooms that a worker can join, one file each; see worker/meeting.py for the port."""

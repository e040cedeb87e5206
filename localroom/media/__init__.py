"""What flows: ICE-lite, DTLS, SRTP and SCTP of one transport, and the tracks and data on it.

Depends on `localroom.faults` only; it knows neither peers nor rooms.
"""

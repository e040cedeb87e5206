"""A room of our own: VideoSDK's servers on one machine, as far as the SDK's clients can tell.

The unmodified ``videosdk`` 0.4.1 joins it through HTTPS, WebSocket, ICE, DTLS, SRTP and SCTP,
with no account and no internet; any token will do. `localroom.launch` starts it as a process of
its own, which it needs: the SDK's first request blocks the event loop that it is made on.
"""

"""The local room: stands in for VideoSDK's servers on one machine.

The unmodified ``videosdk`` 0.4.1 joins it through HTTPS, WebSocket, ICE, DTLS, SRTP and SCTP,
with no account and no internet; any token is accepted. `localroom.launch` starts it as a process of
its own, which it needs: the SDK's first request blocks the event loop that it is made on.
"""

"""What flows: ICE, DTLS, SRTP, SCTP, and the packets that are forwarded."""

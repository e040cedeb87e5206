"""Every message between a dispatcher, its zygote and its workers, for both sides of each pipe.

    dispatcher -> zygote   Fork, Terminate, Kill, Ping              one packet each, of text
    zygote -> dispatcher   ZygoteReady, Pong, WorkerForked, WorkerExited           likewise
    dispatcher -> worker   JoinCommand, then Renewal and Permission     one line of JSON each
    worker -> dispatcher   WorkerIdle and all other reports                        likewise

The zygote's packets go over its stdin, a SOCK_SEQPACKET socket. A worker reads its stdin and
writes its stdout; a library in it may print there too, which is no report. Whatever arrives is
decoded into a message or refused with a MessageError, which repeats nothing of it.

A worker, and the zygote itself, exits with EXIT_OK, EXIT_FAILED or EXIT_REFUSED; any other status
is a crash.
"""

from typing import Final

EXIT_OK: Final = 0
"""A worker: its session is over as it should be. The zygote: the dispatcher is gone."""

EXIT_FAILED: Final = 1
"""A worker: the meeting was not joined or was lost, or the renderer failed; another may succeed."""

EXIT_REFUSED: Final = 2
"""A setting, the join request, its token or the character cannot be used; trying again is of no
use."""

"""The worker program: settings, a warm renderer, a join request from stdin, one session.

Run it as ``avatar worker``. It reads its settings from the environment, makes its
renderer ready, and then waits for one line of JSON on stdin, a `JoinInfo`. On SIGTERM or
SIGINT it speaks out what it has begun and leaves; on a second one it leaves at once.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import BinaryIO, Final

from agent_side.join import CHARACTER, JoinInfo, redact
from avatar_runtime import logs
from avatar_runtime.messages import EXIT_FAILED, EXIT_OK, EXIT_REFUSED
from avatar_runtime.messages.commands import JoinCommand
from avatar_runtime.messages.reports import (
    WorkerActive,
    WorkerDismissed,
    WorkerEnded,
    WorkerIdle,
    WorkerJoining,
    WorkerRejoining,
)
from avatar_runtime.proxies import direct_loopback
from avatar_runtime.settings.pages import help_of
from avatar_runtime.settings.table import WORKER
from worker.characters.folder import by_name
from worker.errors import Dismissed, InputError, JoinRefused, WorkerError, WorkerSettingsError
from worker.meeting_support.reconnecting import Rejoining
from worker.process import tracing
from worker.process.control_channel import ControlChannel
from worker.process.loading import MakeMeeting, load_meeting, load_renderer
from worker.process.metrics import Measures, Metrics
from worker.recording.recorder import prepare, probe, recorder
from worker.renderer import Renderer
from worker.session import Session
from worker.settings import Settings
from worker.tools.arguments import Parser

MAX_REQUEST: Final = 1024 * 1024
"""The longest join request (bytes)."""

COUNT_S: Final = 1.0
"""Between two lines of counters; they also say that the worker's loop goes round."""

RECORDING: Final = "recording"
"""The name of recordings in what a worker says of what fails beside the face."""

OUR_RENDERER: Final = "character"
"""The renderer whose characters are folders; others have names of their own."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

INPUT: Final = """\
the join request, one line of JSON on stdin:
  {"room_name": "...", "token": "...", "participant_id": "...", "signaling_base_url": "...",
   "agent_participant_id": "...", "character": "...", "metadata": {}}
  All but room_name and token may be left out.

exit status:
  0  the session is over: the agent or everybody has left, the server has told the worker to
     leave, it was long enough, or the worker was asked to stop
  1  the meeting could not be joined or was lost for good, or the renderer failed
  2  a setting, the join request, its token or the character cannot be used
"""

logger = logging.getLogger("avatar.worker")


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = Parser("avatar worker", "A face for one voice agent in one meeting.")
    parser.epilog = f"{help_of(WORKER)}\n{INPUT}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args(arguments)
    os.environ.update(direct_loopback(os.environ))
    logs.begin(os.environ, logger.name)
    try:
        settings = Settings.from_env(os.environ)
        logs.set_up(settings.log_level, settings.log_format)
        prepare(settings)
        if settings.tracing:
            tracing.load()
        stop_quietly()
        make, renderer = load_meeting(settings), load_renderer(settings)
    except WorkerError as error:
        return give_up(error, EXIT_REFUSED)
    freeze_gc()
    return serve(settings, make, renderer, Metrics(), None)


def serve(
    settings: Settings,
    make: MakeMeeting,
    renderer: Renderer,
    metrics: Metrics,
    control_channel: ControlChannel | None,
) -> int:
    """One join request from stdin and its session; returns the exit status."""
    try:
        if control_channel is None:
            logger.info("warm, waiting for a join request")
        else:
            if settings.record:
                probe(settings.record, partial(control_channel.degraded, RECORDING))
            control_channel.report(WorkerIdle())
            if not control_channel.wanted():
                return EXIT_OK
        command = read_join(sys.stdin.buffer)
        join, assignment = command.join, command.assignment
        logs.about_process(assignment, join.room_name)
        settings, face = with_character(settings, renderer, join)
        if face is not renderer:
            freeze_gc()
    except WorkerError as error:
        return give_up(error, EXIT_REFUSED, control_channel)
    if control_channel is not None:
        control_channel.report(WorkerJoining(settings.join_timeout_s))
    with tracing.traced(settings.tracing, assignment, logs.hash_of(join.room_name)) as span:
        measures = Measures(metrics, span)
        try:
            session_id = assignment.session_id
            reason = asyncio.run(
                run(make, face, settings, join, session_id, measures, control_channel)
            )
        except Dismissed as dismissal:
            return give_up(dismissal, EXIT_OK, control_channel)
        except JoinRefused as refusal:
            return give_up(refusal, EXIT_REFUSED, control_channel)
        except WorkerError as error:
            return give_up(error, EXIT_FAILED, control_channel)
        logger.info("over: %s", reason)
        if control_channel is not None:
            control_channel.report(WorkerEnded(reason))
        return EXIT_OK


def freeze_gc() -> None:
    """Keep the garbage collector away from what is here now, as it stays.

    Whenever a participant leaves, the SDK collects garbage by hand: 40 ms, a whole tick.
    """
    gc.collect()
    gc.freeze()


def read_join(stream: BinaryIO) -> JoinCommand:
    """The join command in the first line of `stream`. Raises WorkerSettingsError."""
    line = stream.readline(MAX_REQUEST + 1)
    if not line:
        raise WorkerSettingsError("No join request came; write one line of JSON to stdin.")
    if len(line) > MAX_REQUEST:
        raise WorkerSettingsError(
            f"The join request is longer than {MAX_REQUEST} bytes; shorten it."
        )
    try:
        return JoinCommand.decode(line)
    except ValueError as error:
        raise WorkerSettingsError(str(error)) from error


def with_character(
    settings: Settings, renderer: Renderer, join: JoinInfo
) -> tuple[Settings, Renderer]:
    """`settings` and a renderer for the character that the join request asks for, if any.

    Only an operator may give a path; a request has to name one that is there. Raises InputError.
    """
    if join.character is None or join.character == settings.character:
        return settings, renderer
    if CHARACTER.fullmatch(join.character) is None:
        raise InputError(
            f"`character` in the join request is {join.character!r}; "
            "it has to be a name of letters from a to z, digits, - and _."
        )
    if settings.renderer == OUR_RENDERER:
        by_name(join.character, settings.characters)
    renderer.close()
    settings = replace(settings, character=join.character)
    return settings, load_renderer(settings)


async def run(
    make: MakeMeeting,
    renderer: Renderer,
    settings: Settings,
    join: JoinInfo,
    session_id: str,
    measures: Measures,
    control_channel: ControlChannel | None,
) -> str:
    """One session, which SIGTERM and SIGINT ask to finish; returns why it is over."""
    newest = join

    def renew(command: JoinCommand) -> None:
        nonlocal newest
        newest = command.join
        logs.about_process(command.assignment, newest.room_name)
        if newest.agent_participant_id is not None:
            session.name_agent(newest.agent_participant_id)

    def report(active: bool, reason: str | None) -> None:
        if control_channel is not None:
            control_channel.report(WorkerActive() if active else WorkerRejoining(reason))

    loop = asyncio.get_running_loop()

    def recorded(reason: str) -> None:
        if control_channel is not None:
            control_channel.degraded(RECORDING, reason)

    with recorder(settings, loop.time, session_id, report=recorded) as record:
        rejoining = Rejoining(
            lambda: make(newest, settings), None if control_channel is None else control_channel.ask
        )
        meeting, face = record.meeting(rejoining), record.renderer(renderer)
        session = Session(meeting, face, settings, join.agent_participant_id, report, measures)

        def stop() -> None:
            session.leave() if session.finishing else session.finish()

        def count(control_channel: ControlChannel) -> None:
            control_channel.count(session.tally)
            loop.call_later(COUNT_S, count, control_channel)

        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
        if control_channel is not None:
            control_channel.attend(renew, session.leave)
            loop.call_later(COUNT_S, count, control_channel)
        try:
            reason = await session.run()
        finally:
            if control_channel is not None:
                control_channel.count(session.tally)
        record.ended(reason)
    return reason


def stop_quietly() -> None:
    """While there is no session there is nothing to finish: a signal ends the process."""
    for number in SIGNALS:
        signal.signal(number, _stop_waiting)


def give_up(error: WorkerError, status: int, control_channel: ControlChannel | None = None) -> int:
    """Say why on stderr, and on the control channel; returns `status`."""
    reason = redact(" ".join(str(error).split()))
    logs.last_words("worker", reason, logger.name)
    if control_channel is not None:
        ended = WorkerDismissed if isinstance(error, Dismissed) else WorkerEnded
        control_channel.report(ended(reason))
    return status


def _stop_waiting(number: int, _: object) -> None:
    sys.exit(EXIT_OK)


if __name__ == "__main__":
    sys.exit(main())

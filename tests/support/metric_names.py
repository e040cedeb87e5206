"""What a worker measures, by the names that operators know."""

WORKER = {
    "avatar_time_to_join_seconds": "histogram",
    "avatar_time_to_first_frame_seconds": "histogram",
    "avatar_session_duration_seconds": "histogram",
    "avatar_sessions_ended_total": "counter",
    "avatar_frames_total": "counter",
    "avatar_late_frames_total": "counter",
    "avatar_frame_interval_seconds": "histogram",
    "avatar_render_seconds": "histogram",
    "avatar_audio_to_video_seconds": "histogram",
    "avatar_av_offset_seconds": "histogram",
    "avatar_interrupt_seconds": "histogram",
    "avatar_audio_chunks_total": "counter",
    "avatar_audio_gaps_total": "counter",
    "avatar_messages_rejected_total": "counter",
    "avatar_queue_seconds": "histogram",
    "avatar_acks_total": "counter",
    "avatar_segments_unacked": "gauge",
}

"""Pictures as the encoders take them."""

import av
import numpy as np

from worker.media import Picture


def to_video_frame(picture: Picture) -> av.VideoFrame:
    """A copy in YUV 4:2:0, without time stamps."""
    frame = av.VideoFrame(picture.width, picture.height, "yuv420p")
    for plane, pixels in zip(frame.planes, (picture.y, picture.u, picture.v), strict=True):
        rows, columns = pixels.shape
        view = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        view[:rows, :columns] = pixels
    return frame

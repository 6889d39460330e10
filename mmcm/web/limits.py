"""What a visitor of the web demo may ask for at most."""

from dataclasses import dataclass

MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Limits:
    """The most that a request, a visitor, or the server takes. A visitor is an address; see `mmcm.web.visitors`.

    Attributes:
        images (int): Pictures of one request.
        steps (int): Steps of the sampler.
        seed (int): The largest seed.
        text (int): Characters of a text in a request.
        upload_bytes (int): Size of an uploaded file.
        upload_pixels (int): Pixels of an uploaded picture, as its header tells them.
        visitor_bytes (int): Size of all that a visitor uploads within `kept_seconds`.
        kept_bytes (int): Size of all uploads and results that are kept at a time; further requests are turned away.
        kept_seconds (float): How long uploads and results are kept.
        broken_seconds (float): How long what has come of an upload is kept after it broke off.
        connections (int): Connections that are open at a time, of which a page needs a few.
        visitor_connections (int): Connections of one visitor.
        idle_seconds (float): How long a connection may be silent before its request is whole.
        sessions (int): Visitors whose choices are remembered; those of others are what they were when the page opened.
        pasted_pixels (int): Pixels of all results of one request at the size of the picture.
        queue (int): Requests that wait while one is drawn; further ones are turned away.
        silent_seconds (float): How long a request waits, or is drawn, while nobody listens for its answer.
    """

    images: int = 100
    steps: int = 100
    seed: int = MOST_SEED
    text: int = 2000
    upload_bytes: int = 40 << 20
    upload_pixels: int = 1 << 25
    visitor_bytes: int = 1 << 29
    kept_bytes: int = 2 << 30
    kept_seconds: float = 4200
    broken_seconds: float = 300
    connections: int = 500
    visitor_connections: int = 100
    idle_seconds: float = 30
    sessions: int = 1000
    pasted_pixels: int = 1 << 26
    queue: int = 20
    silent_seconds: float = 10

    @property
    def visitor_queue(self) -> int:
        """Requests of one visitor that wait: half of all."""
        return (self.queue + 1) // 2

"""Limits of requests, visitors and the server of the web demo."""

from dataclasses import dataclass

MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Limits:
    """Upper limits of a request, a visitor and the server. A visitor is an address; see `mmcm.web.visitors`.

    Attributes:
        images (int): Images of one request.
        steps (int): Steps of the sampler.
        seed (int): The largest seed.
        text (int): Characters of a text in a request.
        upload_bytes (int): Size of an uploaded file.
        upload_pixels (int): Pixels of an uploaded image, as declared in its header.
        visitor_bytes (int): Total size of the uploads of a visitor within `kept_seconds`.
        kept_bytes (int): Total size of all uploads and results on the disk; further requests are refused.
        kept_seconds (float): Lifetime of uploads and results.
        broken_seconds (float): Lifetime of an incomplete upload.
        connections (int): Open connections; a page needs a few.
        visitor_connections (int): Open connections of one visitor.
        idle_seconds (float): Timeout of a connection without a complete request.
        sessions (int): Visitors whose choices are stored; for others, they are as when the page opened.
        pasted_pixels (int): Pixels of all results of one request at the size of the image.
        queue (int): Requests that wait while one is computed; further ones are refused.
        silent_seconds (float): Time for which a request waits or is computed while nobody listens for its answer.
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
        """Waiting requests of one visitor: half of all."""
        return (self.queue + 1) // 2

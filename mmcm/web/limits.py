"""What a visitor of the web demo may ask for at most."""
from dataclasses import dataclass

MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Limits:
    """The most that a request, or the server, takes.

    Attributes:
        images (int): Pictures of one request.
        steps (int): Steps of the sampler.
        seed (int): The largest seed.
        upload_bytes (int): Size of an uploaded file.
        upload_pixels (int): Pixels of an uploaded picture, as its header tells them.
        kept_bytes (int): Size of all uploads and results that are kept at a time; further requests are turned away.
        connections (int): Connections that are open at a time, of which a page needs a few.
        sessions (int): Visitors whose choices are remembered; those of others are what they were when the page opened.
        pasted_pixels (int): Pixels of all results of one request at the size of the picture.
        queue (int): Requests that wait while one is drawn; further ones are turned away.
    """

    images: int = 100
    steps: int = 100
    seed: int = MOST_SEED
    upload_bytes: int = 40 << 20
    upload_pixels: int = 1 << 25
    kept_bytes: int = 2 << 30
    connections: int = 500
    sessions: int = 1000
    pasted_pixels: int = 1 << 26
    queue: int = 20

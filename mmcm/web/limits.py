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
        queue (int): Requests that wait while one is drawn; further ones are turned away.
    """

    images: int = 100
    steps: int = 100
    seed: int = MOST_SEED
    upload_bytes: int = 20 << 20
    upload_pixels: int = 1 << 25
    queue: int = 20

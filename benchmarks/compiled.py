"""One call of the inferencer with a compiled network, against diffusers' pipeline with the same weights."""

from measure import Row
from sampling import COMPILED
from sampling import measure as measure_sampling


def measure(args) -> list[Row]:
    """Measure seconds of a call of one step for digits; what compiles is called before."""
    return measure_sampling(args, compile=True, goals=COMPILED)

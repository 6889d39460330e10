"""Zero-shot editing: Algorithm 4 of Song et al. (2023).

It is multistep sampling, Algorithm 1, with one line more: after each call of the denoiser, what is known of the picture
is put back into the estimate. So the denoiser is all that has to change, and every sampler can edit.
"""

from torch import Tensor

from mmcm.noise.schedules import karras_sigmas
from mmcm.operators.base import EditingOperator
from mmcm.samplers import Denoise, MultistepSampler, Sampler

NUM_LEVELS = 39  # of 40, the schedule of the released models; the last one has no noise


def known_kept(denoise: Denoise, operator: EditingOperator, known: Tensor) -> Denoise:
    """Return the denoiser whose estimates agree with `known` (N, C, H, W) in what `operator` knows.

    The estimates may leave [-1, 1], and so does the result: what is known comes before the range, as in the released
    code.
    """
    return lambda x, sigma: operator.keep(known, denoise(x, sigma))


def editing_sampler(sampler: Sampler | None = None) -> Sampler:
    """Return the sampler to edit with where nobody chose one, for a model that draws with `sampler`.

    Consistency models go through many levels here, not the one or two they draw with: estimate and picture come to
    agree step by step, which takes steps, also on small things. Other models keep their own sampler, which has many.
    """
    if sampler is None:
        return MultistepSampler(sigmas=karras_sigmas(NUM_LEVELS + 1).tolist()[:-1])
    if not isinstance(sampler, MultistepSampler):
        return sampler
    levels = karras_sigmas(NUM_LEVELS + 1, sampler.sigma_min, sampler.first_sigma).tolist()
    return MultistepSampler(sigmas=levels[:-1], sigma_min=sampler.sigma_min)

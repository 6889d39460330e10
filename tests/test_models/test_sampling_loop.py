import pytest
import torch

from mmcm.models.image_preprocessor import ImagePreprocessor
from mmcm.models.sampling_loop import sample_in_batches
from mmcm.utils.batches import Batches

IMAGES = (torch.arange(7) * 40 / 127.5 - 1).view(7, 1, 1, 1).expand(7, 1, 2, 2)


def sample(part, on_step):
    for step in range(2):
        on_step(step, 80.0 / (step + 1), IMAGES[part] * 80, IMAGES[part] / (2 - step))
    return IMAGES[part]


def test_batches_come_together_as_pixels():
    samples = sample_in_batches(sample, 7, 3, ImagePreprocessor.destruct)
    assert samples.pixels.dtype == torch.uint8
    assert samples.pixels[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200, 240]
    assert samples.images is None and samples.steps is None and samples.seconds >= 0


def test_images_and_steps_are_kept_where_they_are_asked_for():
    samples = sample_in_batches(sample, 7, 3, ImagePreprocessor.destruct, keep_images=True, keep_steps=True)
    assert torch.equal(samples.images, IMAGES)
    assert samples.steps.shape == (7, 2, 1, 2, 2) and torch.equal(samples.steps[:, 1], samples.pixels)


def test_callback_hears_of_each_step_of_each_batch():
    heard = []

    def callback(step, sigma, x, x0):
        heard.append((step, sigma, len(x)))

    sample_in_batches(sample, 7, 4, ImagePreprocessor.destruct, callback=callback)
    assert heard == [(0, 80.0, 4), (1, 40.0, 4), (0, 80.0, 3), (1, 40.0, 3)]


def test_what_does_not_fit_is_halved_for_all_that_share_the_batches():
    sizes = []

    def small_memory(part, on_step):
        sizes.append(part.stop - part.start)
        if sizes[-1] > 2:
            raise torch.cuda.OutOfMemoryError('out of memory')
        return sample(part, on_step)

    batches = Batches(5)
    samples = sample_in_batches(small_memory, 5, batches, ImagePreprocessor.destruct, keep_steps=True)
    assert sizes == [5, 2, 2, 1] and samples.steps.shape[:2] == (5, 2)
    sample_in_batches(small_memory, 3, batches, ImagePreprocessor.destruct)
    assert sizes[4:] == [2, 1]


@pytest.mark.parametrize('progress', ['', 'sampling'])
def test_progress_counts_the_steps_of_all_batches(progress, monkeypatch, capsys):
    monkeypatch.setattr('mmcm.utils.progress.LINE_INTERVAL', 0.0)
    sample_in_batches(sample, 7, 3, ImagePreprocessor.destruct, num_steps=2, progress=progress)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(' in ')[0] for line in lines] == [f'sampling: {n} of 6 steps' for n in range(1, 7) if progress]

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from mmcm.evaluation.similarity import psnr, similarity, ssim
from mmcm.utils.errors import InputError

CHINA, FLOWER = (torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images)
PATCHES = torch.stack([CHINA[:, 300:332, 300:340], FLOWER[:, 200:232, 300:340], CHINA[:, :32, :40]])
NOISY = (PATCHES + torch.randn(PATCHES.shape, generator=torch.Generator().manual_seed(0)) * 20).clamp(0, 255).byte()


def window_ssim(x, y, weights):
    """Wang et al. (2004, Eq. 13) for one window, moment by moment."""
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    deviation_x, deviation_y = (np.sqrt((weights * (z - m) ** 2).sum()) for z, m in ((x, mean_x), (y, mean_y)))
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    c3 = c2 / 2  # their Eq. 12: luminance, contrast and structure
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    contrast = (2 * deviation_x * deviation_y + c2) / (deviation_x**2 + deviation_y**2 + c2)
    structure = (covariance + c3) / (deviation_x * deviation_y + c3)
    return luminance * contrast * structure


def test_psnr_of_a_constant_error_has_a_closed_form():
    grey = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    for error in (1, 10, 155):
        assert psnr(grey + error, grey).item() == pytest.approx(20 * np.log10(255 / error))
    half = grey.clone()
    half[..., :8] += 20
    assert psnr(half, grey).item() == pytest.approx(10 * np.log10(255**2 / 200))


def test_psnr_is_of_the_mean_over_all_channels_of_each_picture():
    black = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    pictures = black.clone()
    pictures[0, 0] = 30
    pictures[1] = 10
    assert psnr(pictures, black).tolist() == pytest.approx([10 * np.log10(255**2 / 300), 20 * np.log10(25.5)])
    assert torch.equal(psnr(black, pictures), psnr(pictures, black))  # uint8 does not wrap around


def test_equal_pictures_are_as_good_as_rounded_ones_and_not_infinite():
    random = torch.rand(1, 3, 200, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 255
    rounded = psnr(random.round(), random).item()
    assert psnr(PATCHES, PATCHES).tolist() == pytest.approx([rounded] * 3, abs=0.05)
    assert psnr(PATCHES, PATCHES)[0].item() == pytest.approx(58.92, abs=0.005)


def test_ssim_is_the_mean_of_the_formula_over_all_windows_that_lie_in_the_picture():
    point = np.zeros((11, 11))
    point[5, 5] = 1
    weights = gaussian_filter(point, 1.5, radius=5)
    x, y = PATCHES.double().numpy(), NOISY.double().numpy()
    for number, channel in ((0, 0), (1, 2)):
        values = [
            window_ssim(x[number, channel, i : i + 11, j : j + 11], y[number, channel, i : i + 11, j : j + 11], weights)
            for i in range(22)
            for j in range(30)
        ]
        measured = ssim(
            PATCHES[number : number + 1, channel : channel + 1], NOISY[number : number + 1, channel : channel + 1]
        )
        assert measured.item() == pytest.approx(np.mean(values), abs=1e-12)


def test_ssim_of_colours_is_the_mean_over_the_channels():
    channels = [ssim(PATCHES[:, channel : channel + 1], NOISY[:, channel : channel + 1]) for channel in range(3)]
    assert torch.allclose(ssim(PATCHES, NOISY), torch.stack(channels).mean(0))


def test_ssim_of_flat_pictures_has_a_closed_form_and_of_equal_ones_is_one():
    dark, bright = (torch.full((1, 1, 11, 11), value, dtype=torch.uint8) for value in (50, 100))
    c1 = 2.55**2
    assert ssim(dark, bright).item() == pytest.approx((2 * 5000 + c1) / (2500 + 10000 + c1))
    assert ssim(PATCHES, PATCHES).tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_both_agree_with_scikit_image():
    metrics = pytest.importorskip('skimage.metrics')
    measured = similarity(NOISY, PATCHES)
    for index, pair in enumerate(zip(PATCHES.numpy(), NOISY.numpy())):
        expected = metrics.structural_similarity(
            *pair, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=0
        )
        assert measured.ssim[index].item() == pytest.approx(expected, abs=1e-6)
        assert measured.psnr[index].item() == pytest.approx(metrics.peak_signal_noise_ratio(*pair, data_range=255))


def test_pictures_smaller_than_a_window_are_refused():
    with pytest.raises(InputError, match='11 x 11 pixels, got images of 10 x 16'):
        ssim(torch.zeros(1, 3, 10, 16), torch.zeros(1, 3, 10, 16))

import torch

from mmcm.objectives import InverseSigmaWeighting, KarrasWeighting, TruncatedSNRWeighting

SIGMA = torch.tensor([0.5, 1.0, 4.0])


def test_karras_weight_is_one_over_c_out_squared():
    """Karras et al. (2022), Appendix B.6: it gives the loss of F unit weight."""
    c_out = 0.3 * SIGMA / (0.3**2 + SIGMA**2).sqrt()
    torch.testing.assert_close(KarrasWeighting(sigma_data=0.3)(SIGMA), c_out**-2)


def test_truncated_weight_never_falls_below_one():
    assert TruncatedSNRWeighting()(SIGMA).tolist() == [4.0, 1.0, 1.0]


def test_inverse_sigma_leaves_its_offset_at_large_levels():
    assert InverseSigmaWeighting()(SIGMA).tolist() == [2.0, 1.0, 0.25]
    assert InverseSigmaWeighting(offset=0.5)(SIGMA).tolist() == [2.5, 1.5, 0.75]

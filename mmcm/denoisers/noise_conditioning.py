"""c_noise(sigma): the fourth scaling of EDM (Karras et al., 2022, Table 1), the noise level as the network takes it."""

from collections.abc import Callable

from torch import Tensor

C_NOISE: dict[str, Callable[[Tensor], Tensor]] = {
    '250 log sigma': lambda sigma: 250 * sigma.log(),  # Song et al. (2023): the released weights expect it
    'log(sigma) / 4': lambda sigma: sigma.log() / 4,  # EDM and EDM2
}
DEFAULT = '250 log sigma'

"""Parts that only MMagic needs.

The model works with and without MMagic; only `inferencer_bridge` imports it.
"""

from mmcm.mmagic.consistency_model import ConsistencyModel

__all__ = ['ConsistencyModel']

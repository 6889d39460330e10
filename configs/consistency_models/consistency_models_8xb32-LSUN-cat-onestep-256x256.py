_base_ = '../consistency_distillation/cd-lpips_8xb32_LSUN-cat-256x256.py'

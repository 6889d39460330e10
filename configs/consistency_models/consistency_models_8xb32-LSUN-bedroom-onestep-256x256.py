_base_ = '../consistency_distillation/cd-lpips_8xb32_LSUN-bedroom-256x256.py'

_base_ = '../consistency_distillation/cd-lpips_8xb256_imagenet1k-64x64.py'

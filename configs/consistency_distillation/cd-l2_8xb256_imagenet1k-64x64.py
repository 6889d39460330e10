_base_ = './cd-lpips_8xb256_imagenet1k-64x64.py'
checkpoint = 'cd_imagenet64_l2'
model = dict(objective=dict(distance=dict(type='L2')))

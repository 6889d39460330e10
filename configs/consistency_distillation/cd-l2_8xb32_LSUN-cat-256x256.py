_base_ = './cd-lpips_8xb32_LSUN-cat-256x256.py'
checkpoint = 'cd_cat256_l2'
model = dict(objective=dict(distance=dict(type='L2')))

_base_ = './cd-lpips_8xb32_LSUN-bedroom-256x256.py'
checkpoint = 'cd_bedroom256_l2'
model = dict(objective=dict(distance=dict(type='L2')))

_base_ = './cd-lpips_8xb32_LSUN-bedroom-256x256.py'
checkpoint = 'cd_cat256_lpips'
train_dataloader = dict(dataset=dict(data_root='data/lsun/cat'))
test_evaluator = dict(reference='lsun_cat256')
model = dict(teacher=dict(checkpoint='edm_cat256_ema'))

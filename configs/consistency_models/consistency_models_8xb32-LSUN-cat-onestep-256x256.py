_base_ = './consistency_models_8xb32-LSUN-bedroom-onestep-256x256.py'
checkpoint = 'cd_cat256_lpips'
train_dataloader = dict(dataset=dict(data_root='data/lsun/cat'))
model = dict(teacher=dict(checkpoint='edm_cat256_ema'))

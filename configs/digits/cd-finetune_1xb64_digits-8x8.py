# The model that ships as `digits`: cd_1xb32_digits-8x8 is distilled further, with batches of twice the size and most
# steps at the noise levels where one network evaluation loses contrast.
_base_ = './cd_1xb32_digits-8x8.py'
train_cfg = dict(max_iters=4000)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
auto_scale_lr = dict(base_batch_size=64)
model = dict(
    teacher=dict(checkpoint='edm_digits'),
    init_from='work_dirs/cd_1xb32_digits-8x8',
    ema_decays=(0.999, 0.9995),  # the second average is shipped
    objective=dict(levels=dict(mean=0.3, std=1.2, uniform=0.15)),
)

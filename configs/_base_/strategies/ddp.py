# Data parallel, what training with a launcher does anyway: a place for options of DistributedDataParallel.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=False)

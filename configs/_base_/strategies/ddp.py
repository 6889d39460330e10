# Data parallel, the default with a launcher: a place for options of DistributedDataParallel.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=False)

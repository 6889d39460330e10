# Fully sharded data parallel: each process keeps a share of the weights, the averages and the optimiser's state.
runner_type = 'FlexibleRunner'
strategy = dict(type='mmcm.FSDPStrategy')

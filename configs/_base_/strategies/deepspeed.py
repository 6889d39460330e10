# DeepSpeed's ZeRO, stage 2: each process keeps a share of the gradients and of the optimiser's state.
# A config with this base also needs optim_wrapper = dict(type='DeepSpeedOptimWrapper').
runner_type = 'FlexibleRunner'
strategy = dict(
    type='DeepSpeedStrategy', zero_optimization=dict(stage=2), config=dict(zero_allow_untested_optimizer=True)
)  # DeepSpeed has tested none of our optimisers

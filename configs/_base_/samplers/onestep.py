# One network call. `method` is what objectives and samplers set in a model; a recipe merges it into that of its bases.
method = dict(sampler=dict(type='MultistepSampler', indices=(0,)))

# Names for `mmcm test --samplers`: steps of equal length.
samplers = dict(onestep=dict(num_steps=1), twostep=dict(num_steps=2), fourstep=dict(num_steps=4))

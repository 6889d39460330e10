# Names for `mmcm test --samplers`. The intermediate noise levels were chosen by hand.
samplers = dict(
    onestep=dict(sigmas=(80.0,)), twostep=dict(sigmas=(80.0, 0.8)), fourstep=dict(sigmas=(80.0, 5.0, 1.2, 0.4))
)

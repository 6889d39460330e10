# Ways to draw the digits that `tools/test.py --samplers` knows by name; the levels in between were chosen by hand.
samplers = dict(
    onestep=dict(sigmas=(80.0,)), twostep=dict(sigmas=(80.0, 0.8)), fourstep=dict(sigmas=(80.0, 5.0, 1.2, 0.4))
)

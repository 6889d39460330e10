"""`python -m mmcm`: the same as the command `mmcm`."""

from mmcm.cli.main import main

main()

from pathlib import Path

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.cli.report import evaluations, report


def test_line_names_the_only_file_or_counts_them(capsys):
    inferencer = ConsistencyModelInferencer('digits', device='cpu')
    result = inferencer.sample(inferencer.request(1))
    out = Path('out')
    report('1 image', inferencer, result, [out / '0.png'], out, [evaluations(result.nfe)])
    report('1 image', inferencer, result, [out / '0.png', out / '1.png'], out)
    one, two = capsys.readouterr().out.splitlines()
    begin = f'Generated 1 image with {inferencer.checkpoint} in {result.seconds:.2f} s on cpu'
    assert one == f'{begin}, 1 network evaluation per image: {out / "0.png"}'
    assert two == f'{begin}: 2 files in out'
